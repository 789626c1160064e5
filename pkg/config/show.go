package config

import (
	"cmp"
	"fmt"
	"reflect"

	"github.com/yupiao/yupiao/pkg/feed"
)

// Setting is one value in force, for people.
type Setting struct {
	Key   string `json:"key"`
	Value string `json:"value"`
	// From is "default", a file and line, or a variable of the environment.
	From string `json:"from"`
	// Secret: Value does not tell it, but whether there is one.
	Secret bool `json:"secret,omitempty"`
}

// Settings lists all values but the rules, in the order of the settings file. No secret is among them.
func (n *Node) Settings() (all []Setting) {
	sections := reflect.ValueOf(*n)
	for i := range sections.NumField() {
		section, name := sections.Field(i), sections.Type().Field(i).Tag.Get("mapstructure")
		if section.Kind() != reflect.Struct {
			continue
		}
		for k := range section.NumField() {
			key := name + "." + section.Type().Field(k).Tag.Get("mapstructure")
			all = append(all, n.setting(key, section.Field(k).Interface()))
		}
	}
	return all
}

func (n *Node) setting(key string, value any) Setting {
	s := Setting{Key: key, Value: fmt.Sprint(value), From: cmp.Or(n.Origins[key], "default")}
	switch {
	case key == adminToken || key == offerKeys:
		if s.Secret = true; reflect.ValueOf(value).Len() > 0 {
			s.Value = "***"
		} else {
			s.Value = ""
		}
	case key == "feed.url":
		s.Value = feed.Redacted(s.Value)
	}
	return s
}
