package diff

import (
	"slices"
	"strings"
	"unicode"
)

// secretParts are parts of the names of secrets, as lower-case letters and digits.
var secretParts = []string{
	"password", "passwd", "passphrase", "token", "secret", "credential", "htpasswd", "dockerconfigjson", "dockercfg",
	"apikey", "accesskey", "certificatekey", "clientkey", "encryptionkey", "privatekey", "serverkey", "signingkey", "tlskey",
}

// secretWords are words in the names of secrets.
var secretWords = []string{"auth", "auths", "authorization", "bearer", "cookie", "oauth", "pass", "pw", "pwd"}

// publicWords are last words of names that are about a secret, and not one.
var publicWords = []string{
	"audience", "class", "count", "dir", "duration", "enabled", "endpoint", "file", "files", "kind", "method", "mode", "name",
	"names", "namespace", "path", "paths", "period", "policy", "provider", "ref", "refs", "seconds", "size", "timeout", "ttl",
	"type", "uri", "url", "version",
}

// isSecret reports whether the value of a key, variable or flag is a secret, by its
// name.
func isSecret(name string) bool {
	words := wordsOf(name)
	if len(words) == 0 || slices.Contains(publicWords, words[len(words)-1]) {
		return false
	}
	joined := strings.Join(words, "")
	return slices.ContainsFunc(secretParts, func(part string) bool { return strings.Contains(joined, part) }) ||
		slices.ContainsFunc(words, func(word string) bool { return slices.Contains(secretWords, word) })
}

// holdsSecrets reports whether each value of a map with that key is a secret.
func holdsSecrets(key string) bool {
	words := wordsOf(key)
	return len(words) > 0 && slices.Contains([]string{"credentials", "passwords", "secrets", "tokens"}, words[len(words)-1])
}

// isPlain reports whether a value says no more than whether something is set.
func isPlain(value string) bool {
	value = strings.ToLower(strings.Trim(strings.TrimSpace(value), `"',`))
	return slices.Contains([]string{"", "true", "false", "null", "~", "none", "yes", "no", "[]", "{}"}, value)
}

// wordsOf returns the words of a name such as adminPassword, ADMIN_PASSWORD or
// --admin-password, in lower case.
func wordsOf(name string) []string {
	var words []string
	var word []rune
	end := func() {
		if len(word) > 0 {
			words = append(words, strings.ToLower(string(word)))
		}
		word = nil
	}
	runes := []rune(name)
	for i, r := range runes {
		switch {
		case !unicode.IsLetter(r) && !unicode.IsDigit(r):
			end()
			continue
		case unicode.IsUpper(r) && i > 0 && (unicode.IsLower(runes[i-1]) || i+1 < len(runes) && unicode.IsUpper(runes[i-1]) && unicode.IsLower(runes[i+1])):
			end()
		}
		word = append(word, r)
	}
	end()
	return words
}
