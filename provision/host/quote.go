package host

import (
	"slices"
	"strings"
)

// bare are the characters without a special meaning in a POSIX shell.
const bare = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_@%+:,./-="

// reserved are the reserved words of POSIX (2.4), bash and ksh.
var reserved = []string{
	"case", "coproc", "do", "done", "elif", "else", "esac", "fi", "for", "function", "if", "in",
	"namespace", "select", "then", "time", "until", "while",
}

// Quote returns a command line that a POSIX shell splits into exactly the words
// of argv. sshd passes every command to the user's login shell. A word must not
// contain a NUL byte: see Cmd.Check.
func Quote(argv []string) string {
	words := make([]string, len(argv))
	for i, word := range argv {
		words[i] = quoteWord(word, i == 0)
	}
	return strings.Join(words, " ")
}

func quoteWord(word string, first bool) string {
	plain := word != "" && !strings.ContainsFunc(word, func(r rune) bool { return !strings.ContainsRune(bare, r) })
	// As the first word a=b would be an assignment, and "if" a keyword.
	if first && (strings.Contains(word, "=") || slices.Contains(reserved, word)) {
		plain = false
	}
	if plain {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
