package config

import (
	"encoding/json"

	"github.com/goccy/go-yaml"
)

// MarshalYAML gives a value as YAML, with the names and the order that it has as JSON, so that both forms of a command's
// output say the same.
func MarshalYAML(value any) ([]byte, error) {
	text, err := json.Marshal(value)
	if err != nil {
		return nil, err
	}
	return yaml.JSONToYAML(text)
}
