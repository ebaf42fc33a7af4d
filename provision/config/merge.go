package config

import "maps"

// Merge returns base with overrides applied as a JSON merge patch (RFC 7396):
// mappings are merged, null removes a key, any other value replaces the old one.
// It does not change its arguments.
func Merge(base, overrides map[string]any) map[string]any {
	merged := maps.Clone(base)
	if merged == nil {
		merged = map[string]any{}
	}
	for key, value := range overrides {
		switch over := value.(type) {
		case nil:
			delete(merged, key)
		case map[string]any:
			under, _ := merged[key].(map[string]any)
			merged[key] = Merge(under, over)
		default:
			merged[key] = value
		}
	}
	return merged
}
