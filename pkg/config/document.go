package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/go-viper/mapstructure/v2"
	"github.com/spf13/viper"
	"go.yaml.in/yaml/v3"

	"github.com/yupiao/yupiao/pkg/policy"
)

// ParseDocument reads what is to be laid over a node's policy: `freshness:` and `rules:` as in a settings file, each as far as it is given. The source is named in
// errors, which wrap ErrInvalid. Base is what it will be laid over: the rules have to make sense there.
func ParseDocument(data []byte, source string, base *policy.Policy) (*policy.Document, error) {
	v := viper.New()
	t, err := merge(v, data, source)
	if err != nil {
		return nil, err
	}
	d := &policy.Document{RulesGiven: v.IsSet("rules")}
	if err := v.UnmarshalExact(d, strictly); err != nil {
		return nil, t.mark(err)
	}
	if d.Freshness.TTL != nil && d.Freshness.TTL.Auto {
		return nil, t.mark(invalid("freshness.ttl", "auto", "a duration: only a rule has a target"))
	}
	return d, t.mark(d.Over(base).Validate())
}

// strictly makes a decoder that converts nothing but durations and what says by itself how it is written, and that puts a list in the place of a default one
// instead of each item over the default's.
func strictly(c *mapstructure.DecoderConfig) {
	c.WeaklyTypedInput, c.ZeroFields = false, true
	c.DecodeHook = mapstructure.ComposeDecodeHookFunc(mapstructure.DecodeHookFuncType(noBareNumbers), mapstructure.StringToTimeDurationHookFunc(), mapstructure.TextUnmarshallerHookFunc())
}

// noBareNumbers refuses a number where a duration or a percentage belongs: it would be one of nanoseconds, or a hundred times as much.
func noBareNumbers(from, to reflect.Type, value any) (any, error) {
	switch {
	case from == to || from.Kind() == reflect.String || from.Kind() == reflect.Pointer || from.Kind() == reflect.Struct:
	case to == reflect.TypeFor[time.Duration]():
		return nil, fmt.Errorf("%v has no unit; want a duration such as 500ms or 2s", value)
	case to == reflect.TypeFor[policy.Share]():
		return nil, fmt.Errorf("%v has no unit; want a percentage such as 60%%", value)
	}
	return value, nil
}

// SetKey puts a value into a document, or takes the key out of it if the value is empty. The key is one of freshness, such as freshness.ttl. Comments stay. The
// document is not checked as a whole; ParseDocument does that.
func SetKey(document, key, value string) (string, error) {
	section, name, _ := strings.Cut(key, ".")
	if known := freshnessKeys(); section != "freshness" || !slices.Contains(known, name) {
		return "", &fault{key, fmt.Sprintf("unknown key %s; want one of freshness.%s", key, strings.Join(known, ", freshness."))}
	}
	var root yaml.Node
	if err := yaml.Unmarshal([]byte(document), &root); err != nil {
		return "", syntax("the document", err)
	}
	if root.Kind == 0 {
		root = yaml.Node{Kind: yaml.DocumentNode, Content: []*yaml.Node{{Kind: yaml.MappingNode}}}
	}
	if root.Content[0].Kind != yaml.MappingNode {
		return "", fmt.Errorf("%w: the document is no mapping; want the key freshness or rules", ErrInvalid)
	}
	set(child(root.Content[0], section), name, value)
	if top := root.Content[0]; len(child(top, section).Content) == 0 {
		set(top, section, "")
	}
	if len(root.Content[0].Content) == 0 {
		return "", nil
	}
	var out strings.Builder
	e := yaml.NewEncoder(&out)
	e.SetIndent(2)
	err := e.Encode(&root)
	return out.String(), err
}

func freshnessKeys() (keys []string) {
	for field := range reflect.TypeFor[policy.Change]().Fields() {
		keys = append(keys, field.Tag.Get("mapstructure"))
	}
	return keys
}

// child finds or makes the mapping below a key.
func child(in *yaml.Node, key string) *yaml.Node {
	for i := 0; i+1 < len(in.Content); i += 2 {
		if in.Content[i].Value == key {
			if in.Content[i+1].Kind != yaml.MappingNode {
				*in.Content[i+1] = yaml.Node{Kind: yaml.MappingNode}
			}
			return in.Content[i+1]
		}
	}
	below := &yaml.Node{Kind: yaml.MappingNode}
	in.Content = append([]*yaml.Node{{Kind: yaml.ScalarNode, Value: key}, below}, in.Content...)
	return below
}

// set gives a key of a mapping a value; an empty one takes the key away.
func set(in *yaml.Node, key, value string) {
	for i := 0; i+1 < len(in.Content); i += 2 {
		if in.Content[i].Value != key {
			continue
		}
		if value == "" {
			in.Content = slices.Delete(in.Content, i, i+2)
			return
		}
		in.Content[i+1].SetString(value)
		return
	}
	if value != "" {
		below := &yaml.Node{}
		below.SetString(value)
		in.Content = append(in.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: key}, below)
	}
}
