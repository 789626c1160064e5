package config

import (
	"fmt"
	"reflect"
	"time"

	"github.com/go-viper/mapstructure/v2"
	"github.com/spf13/viper"

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
