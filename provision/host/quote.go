package host

import (
	"slices"
	"strings"
)

// bare are the characters that mean nothing to a POSIX shell.
const bare = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_@%+:,./-="

// reserved are the words that a shell takes for its own where a command is
// expected (POSIX 2.4, and those of bash and ksh).
var reserved = []string{
	"case", "coproc", "do", "done", "elif", "else", "esac", "fi", "for", "function", "if", "in",
	"namespace", "select", "then", "time", "until", "while",
}

// Quote writes argv so that a POSIX shell reads back exactly these words. It is
// the only place where slipway quotes: sshd gives every command to the user's
// login shell. A word cannot hold a NUL byte; see Cmd.Check.
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
