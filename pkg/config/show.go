package config

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"

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
		if section := sections.Field(i); section.Kind() == reflect.Struct {
			all = append(all, n.under(sections.Type().Field(i).Tag.Get("mapstructure"), section)...)
		}
	}
	return all
}

// under lists the values of a section, and of those in it.
func (n *Node) under(name string, section reflect.Value) (all []Setting) {
	for i := range section.NumField() {
		key, value := name+"."+section.Type().Field(i).Tag.Get("mapstructure"), section.Field(i)
		if value.Kind() == reflect.Struct {
			all = append(all, n.under(key, value)...)
			continue
		}
		all = append(all, n.setting(key, value.Interface()))
	}
	return all
}

func (n *Node) setting(key string, value any) Setting {
	s := Setting{Key: key, Value: fmt.Sprint(value), From: cmp.Or(n.Origins[key], "default")}
	switch {
	case slices.Contains(environmentOnly, key):
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
