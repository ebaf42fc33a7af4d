package diff

import (
	"regexp"
	"strings"
)

// pair is a key and its separator in YAML, JSON, TOML, an environment file or a
// command line. A value follows. In YAML, white space follows the colon.
var pair = regexp.MustCompile(`(\\?["']?)([A-Za-z0-9_./-]+)(\\?["']?)(\s*=\s*|\s*:(?:\s+|$)|\\?["']\s*:\s*)`)

var (
	blockScalar = regexp.MustCompile(`^[|>][-+0-9]*\s*(#.*)?$`)
	section     = regexp.MustCompile(`^\s*\[+([^\[\]]*)\]+\s*(#.*)?$`)
)

// linesMasker masks the values of keys line by line. It follows values over several
// lines of YAML and TOML without parsing them: a file may be neither, or broken.
type linesMasker struct {
	masker
	// header: the lines are those of a table of HTTP headers, as in the hosts.toml
	// of containerd.
	header bool
	// named: the line before was the name of a secret, and its value follows.
	named bool
	// rest masks the next line of a value; nil outside of one. It reports whether
	// the line belongs to the value.
	rest func(line string) (masked string, belongs bool)
}

// lines returns the text with marks in place of the values of secret keys.
func (m masker) lines(text string) string {
	l := linesMasker{masker: m}
	lines := strings.SplitAfter(text, "\n")
	for i, line := range lines {
		content := strings.TrimRight(line, "\r\n")
		lines[i] = l.line(content) + line[len(content):]
	}
	return strings.Join(lines, "")
}

func (l *linesMasker) line(line string) string {
	if l.rest != nil {
		if masked, belongs := l.rest(line); belongs {
			return masked
		}
		l.rest = nil
	}
	if table := section.FindStringSubmatch(line); table != nil {
		words := wordsOf(table[1])
		l.header = len(words) > 0 && (words[len(words)-1] == "header" || words[len(words)-1] == "headers")
		return line
	}
	named := l.named
	l.named = false
	done := 0
	for done <= len(line) {
		at := pair.FindStringSubmatchIndex(line[done:])
		if at == nil {
			break
		}
		key, value := line[done+at[4]:done+at[5]], done+at[1]
		if key == "name" && isSecret(firstWord(line[value:])) {
			named, l.named = true, true
		}
		if !isSecret(key) && !l.header && !(named && key == "value") {
			done = value
			continue
		}
		masked, length := l.value(line, done+at[4], value, strings.Contains(line[done+at[8]:value], ":"))
		line = line[:value] + masked + line[value+length:]
		done = value + len(masked)
	}
	return line
}

// value masks the value at an index of the line, whose key is at another one. It
// returns the replacement of so many bytes, and sets rest if the value continues on
// the next line.
func (l *linesMasker) value(line string, key, start int, colon bool) (masked string, length int) {
	value := line[start:]
	quote := ""
	if key > 0 && strings.ContainsRune(`"'`, rune(line[key-1])) {
		quote = line[key-1 : key]
	}
	switch {
	case value == "" || strings.HasPrefix(value, "#"):
		l.rest = l.items(indent(line), key)
		return value, len(value)
	case blockScalar.MatchString(value):
		l.rest = l.deeper(indent(line))
		return value, len(value)
	case strings.HasPrefix(value, `"""`), strings.HasPrefix(value, `'''`):
		return l.until(value, 3, value[:3])
	case value[0] == '"' || value[0] == '\'':
		end := closingQuote(value)
		if end < 0 {
			return l.until(value, 1, value[:1])
		}
		if isPlain(value[1:end]) {
			return value[:end+1], end + 1
		}
		return value[:1] + l.hide(value[1:end]) + value[end:end+1], end + 1
	case value[0] == '[':
		end := strings.LastIndexByte(value, ']')
		if end < 0 {
			return l.until(value, 1, "]")
		}
		if isPlain(value[:end+1]) {
			return value[:end+1], end + 1
		}
		return "[" + l.hide(value[1:end]) + "]", end + 1
	case value[0] == '{':
		return "{", 1 // its keys say which values are secrets
	case quote != "" && colon: // a number or a word of JSON
		end := strings.IndexAny(value+",", ",}]")
		return l.plain(value[:end]), end
	case quote != "": // "KEY=VALUE"
		end := strings.Index(value+quote, quote)
		return l.plain(value[:end]), end
	case strings.HasSuffix(value, `\`):
		l.rest = func(line string) (string, bool) {
			if !strings.HasSuffix(line, `\`) {
				l.rest = nil
			}
			return l.hide(line), true
		}
	default:
		l.rest = l.items(indent(line), key)
	}
	return l.plain(value), len(value)
}

func (l *linesMasker) plain(value string) string {
	if isPlain(value) {
		return value
	}
	return l.hide(value)
}

// until masks a value that ends with a delimiter on this or a later line.
func (l *linesMasker) until(value string, opening int, end string) (masked string, length int) {
	if at := strings.Index(value[opening:], end); at >= 0 {
		return value[:opening] + l.hide(value[opening:opening+at]) + end, opening + at + len(end)
	}
	l.rest = func(line string) (string, bool) {
		at := strings.Index(line, end)
		if at < 0 {
			return l.hide(line), true
		}
		l.rest = nil
		return l.hide(line[:at]) + line[at:], true
	}
	return value[:opening] + l.hide(value[opening:]), len(value)
}

// deeper masks the lines of a block scalar of YAML.
func (l *linesMasker) deeper(parent int) func(string) (string, bool) {
	return func(line string) (string, bool) {
		content := strings.TrimLeft(line, " \t")
		if content == "" {
			return line, true
		}
		if indent(line) <= parent {
			return line, false
		}
		return line[:len(line)-len(content)] + l.hide(content), true
	}
}

// items masks the items of a list, and the further lines of a scalar. Lines with keys
// of their own are masked by these.
func (l *linesMasker) items(parent, key int) func(string) (string, bool) {
	return func(line string) (string, bool) {
		content := strings.TrimLeft(line, " \t")
		item := strings.HasPrefix(content, "- ")
		if content == "" || content[0] == '#' {
			return line, true
		}
		if depth := indent(line); depth < parent || depth == parent && !(item && key == parent) || pair.MatchString(line) {
			return line, false
		}
		if item {
			content = strings.TrimLeft(content[2:], " ")
		}
		return line[:len(line)-len(content)] + l.plain(content), true
	}
}

// firstWord returns the first word or quoted string of a line.
func firstWord(line string) string {
	line = strings.TrimLeft(line, `\"' `)
	return line[:strings.IndexAny(line+" ", `\"',} `)]
}

func indent(line string) int { return len(line) - len(strings.TrimLeft(line, " \t")) }

// closingQuote returns the index of the quote that ends the quoted string at the
// start of s; -1 if there is none.
func closingQuote(s string) int {
	for i := 1; i < len(s); i++ {
		switch {
		case s[0] == '"' && s[i] == '\\':
			i++
		case s[i] == s[0] && s[0] == '\'' && i+1 < len(s) && s[i+1] == '\'':
			i++
		case s[i] == s[0]:
			return i
		}
	}
	return -1
}
