package diff

import (
	"encoding/base64"
	"fmt"
	"regexp"
	"strings"
)

// hidden replaces a secret.
const hidden = "(sensitive value)"

// masker replaces secrets, each with a mark that is the same for the same secret,
// so that a diff shows a secret that changes. It is a map of the secrets to their
// numbers.
type masker map[string]int

// hide returns the mark of a secret.
func (m masker) hide(secret string) string {
	number, known := m[secret]
	if !known {
		number = len(m) + 1
		m[secret] = number
	}
	return fmt.Sprintf("(sensitive value~%d)", number)
}

var mark = regexp.MustCompile(`\(sensitive value~\d+\)`)

// Mask returns copies of two objects of the cluster, in which each secret is replaced
// by a mark. Equal secrets have the same mark.
func Mask(before, after map[string]any) (maskedBefore, maskedAfter map[string]any) {
	m := masker{}
	return m.object(before), m.object(after)
}

// Unmask replaces each mark in a line by the same text.
func Unmask(line string) string { return mark.ReplaceAllLiteralString(line, hidden) }

// The secrets that are recognized wherever they are.
var (
	privateKey   = regexp.MustCompile(`(?s)-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----.*?(-----END [A-Z0-9 ]*PRIVATE KEY-----|\z)`)
	encodedPEM   = regexp.MustCompile(`LS0tLS1CRUdJTi[A-Za-z0-9+/]{20,}=*`)
	bootstrap    = regexp.MustCompile(`\b[a-z0-9]{6}\.[a-z0-9]{16}\b`)
	webToken     = regexp.MustCompile(`\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]*)?`)
	userInfo     = regexp.MustCompile(`(://[^\s/@:"']*:)([^\s/@"']+)(@)`)
	headerValue  = regexp.MustCompile(`\b((?i:basic|bearer)\s+)([A-Za-z0-9+/._~=-]{8,})`)
	flagAndValue = regexp.MustCompile(`(^|\s)(--?[A-Za-z][\w.-]*)(\s+)([^\s-]\S*)`)
)

// text returns the text with marks in place of secrets.
func (m masker) text(s string) string {
	s = privateKey.ReplaceAllStringFunc(s, m.hide)
	s = m.lines(s)
	s = encodedPEM.ReplaceAllStringFunc(s, func(text string) string {
		start, err := base64.StdEncoding.DecodeString(text[:min(len(text)/4*4, 48)])
		if err != nil || !strings.Contains(string(start), "PRIVATE KEY") {
			return text
		}
		return m.hide(text)
	})
	s = bootstrap.ReplaceAllStringFunc(s, m.hide)
	s = webToken.ReplaceAllStringFunc(s, m.hide)
	s = m.group(userInfo, s, 2, func([]string) bool { return true })
	s = m.group(headerValue, s, 2, func(found []string) bool {
		return strings.ToLower(found[2]) != found[2] || strings.ContainsAny(found[2], "0123456789=")
	})
	return m.group(flagAndValue, s, 4, func(found []string) bool { return isSecret(found[2]) && !isPlain(found[4]) })
}

// group hides one group of each match for which when returns true.
func (m masker) group(pattern *regexp.Regexp, s string, hide int, when func([]string) bool) string {
	return pattern.ReplaceAllStringFunc(s, func(text string) string {
		found := pattern.FindStringSubmatch(text)
		if !when(found) || mark.MatchString(found[hide]) {
			return text
		}
		found[hide] = m.hide(found[hide])
		return strings.Join(found[1:], "")
	})
}

// object returns a copy of an object, or of a part of it, with marks in place of
// secrets.
func (m masker) object(object map[string]any) map[string]any {
	if kind, _ := object["kind"].(string); kind != "Secret" {
		return m.value("", object, false).(map[string]any)
	}
	masked := map[string]any{}
	for key, value := range object {
		masked[key] = m.value(key, value, key != "apiVersion" && key != "kind" && key != "metadata" && key != "type" && key != "immutable")
	}
	return masked
}

// value returns a copy of the value of a key. With secret, all of it is hidden.
func (m masker) value(key string, value any, secret bool) any {
	switch value := value.(type) {
	case map[string]any:
		masked := map[string]any{}
		name, _ := value["name"].(string)
		for k, v := range value {
			masked[k] = m.value(k, v, secret || holdsSecrets(key) || k == "value" && isSecret(name))
		}
		return masked
	case []any:
		masked := make([]any, 0, len(value))
		after := false // of a flag such as --password
		for _, item := range value {
			masked = append(masked, m.value(key, item, secret || after))
			flag, _ := item.(string)
			after = strings.HasPrefix(flag, "-") && !strings.Contains(flag, "=") && isSecret(flag)
		}
		return masked
	case string:
		if secret && value != "" || isSecret(key) && !isPlain(value) {
			return m.hide(value)
		}
		return m.text(value)
	case nil, bool:
		return value
	default:
		if secret || isSecret(key) {
			return m.hide(fmt.Sprint(value))
		}
		return value
	}
}
