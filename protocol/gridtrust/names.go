package gridtrust

import (
	"cmp"
	"crypto/x509"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/fedsite/fedsite/protocol/smime"
)

// kind is the kind of file that a rule about names stands in.
type kind int

const (
	signingPolicy kind = iota // Globus' EACL, *.signing_policy
	namespaces                // EUGridPMA's, *.namespaces
)

// nameRule permits an authority to give names, or denies it.
type nameRule struct {
	kind     kind
	issuer   string // of the authority, as plain gives it
	deny     bool
	subjects []*regexp.Regexp // whole names, as plain gives them
}

// readNames gives what reads a file of rules. Rules belong to the authority that they name, whatever the file is called.
func (t *Trust) readNames(parse func(string) ([]nameRule, error)) func(string, []byte, map[string]bool) error {
	return func(_ string, text []byte, seen map[string]bool) error {
		if seen[string(text)] {
			return nil
		}
		seen[string(text)] = true
		rules, err := parse(string(text))
		for _, r := range rules {
			t.names[r.issuer] = append(t.names[r.issuer], r)
		}
		return err
	}
}

// parseSigningPolicy reads Globus' form:
//
//	access_id_CA   X509    '/C=XX/O=Example/CN=CA'
//	pos_rights     globus  CA:sign
//	cond_subjects  globus  '"/C=XX/*" "/C=YY/*"'
//
// A subject may hold * for any text and ? for any one character. Rules before a line that cannot be read are given too.
func parseSigningPolicy(text string) ([]nameRule, error) {
	var (
		rules  []nameRule
		issuer string
		sign   bool // CA:sign was granted
	)
	for n, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		keyword, rest := word(line)
		authority, value := word(rest)
		switch {
		case line == "" || line[0] == '#':
		case len(rules) == maxPerFile:
			return rules, fmt.Errorf("more than %d rules", maxPerFile)
		case keyword == "access_id_CA":
			if issuer = plain(unquote(value)); authority != "X509" || issuer == "" {
				return rules, fmt.Errorf("line %d: an authority's name in the form X509 '/…' is needed", n+1)
			}
			sign = false
		case keyword == "pos_rights":
			sign = issuer != "" && authority == "globus" && unquote(value) == "CA:sign"
		case keyword == "cond_subjects" && sign && authority == "globus":
			subjects, err := wildcards(value)
			if err != nil {
				return rules, fmt.Errorf("line %d: %w", n+1, err)
			}
			rules = append(rules, nameRule{kind: signingPolicy, issuer: issuer, subjects: subjects})
		case keyword == "cond_subjects" || keyword == "neg_rights" || strings.HasPrefix(keyword, "access_id_"): // of other rights than to sign
		default:
			return rules, fmt.Errorf("line %d: %.40q is no keyword of a signing policy", n+1, keyword)
		}
	}
	if len(rules) == 0 {
		return nil, errors.New("no rule of a signing policy")
	}
	return rules, nil
}

// word cuts the first word off.
func word(text string) (first, rest string) {
	text = strings.TrimSpace(text)
	if i := strings.IndexAny(text, " \t"); i >= 0 {
		return text[:i], strings.TrimSpace(text[i:])
	}
	return text, ""
}

func unquote(value string) string { return strings.Trim(strings.TrimSpace(value), `'"`) }

// wildcards reads the subjects of a condition: '"a" "b"', 'a' or "a".
func wildcards(value string) ([]*regexp.Regexp, error) {
	value = strings.Trim(value, "' \t")
	texts := []string{value}
	if strings.Contains(value, `"`) {
		texts = nil
		for i, part := range strings.Split(value, `"`) {
			if i%2 == 1 {
				texts = append(texts, part)
			}
		}
	}
	var subjects []*regexp.Regexp
	for _, t := range texts {
		if t = strings.TrimSpace(t); t == "" {
			continue
		}
		quoted := regexp.QuoteMeta(plain(t))
		quoted = strings.NewReplacer(`\*`, `.*`, `\?`, `.`).Replace(quoted)
		one, err := regexp.Compile(`^(?s:` + quoted + `)$`)
		if err != nil {
			return nil, fmt.Errorf("subject %.80q cannot be used", t)
		}
		subjects = append(subjects, one)
	}
	if len(subjects) == 0 || len(subjects) > maxPerFile {
		return nil, fmt.Errorf("%d subjects", len(subjects))
	}
	return subjects, nil
}

var (
	anything     = regexp.MustCompile(`(?s).*`)
	continuation = regexp.MustCompile(`\\[ \t]*\r?\n`)
	// namespaceRule is EUGridPMA's form, with the keywords in any case.
	namespaceRule = regexp.MustCompile(`(?i)^TO\s+ISSUER\s+(?:"([^"]*)"|(SELF))\s+(PERMIT|DENY)\s+SUBJECT\s+"([^"]*)"$`)
)

// parseNamespaces reads EUGridPMA's form, in which a subject is a regular expression of a whole name (GFD.189, 5.2):
//
//	TO Issuer "/C=XX/O=Example/CN=CA" \
//	  PERMIT Subject "/C=XX/.*"
//
// A rule that cannot be read is passed over, and told of; rules TO Issuer SELF cannot be told whose they are.
func parseNamespaces(text string) ([]nameRule, error) {
	var (
		rules   []nameRule
		problem error
	)
	text = continuation.ReplaceAllString(text, " ")
	for n, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		m := namespaceRule.FindStringSubmatch(line)
		switch {
		case len(rules) == maxPerFile:
			return rules, fmt.Errorf("more than %d rules", maxPerFile)
		case m == nil:
			problem = fmt.Errorf("line %d: %.80q is no rule of namespaces", n+1, line)
			continue
		case m[2] != "":
			problem = fmt.Errorf("line %d: a rule for SELF: name the issuer", n+1)
			continue
		}
		deny := strings.EqualFold(m[3], "DENY")
		subject, err := regexp.Compile(`^(?:` + aliases.Replace(m[4]) + `)$`)
		if err != nil {
			problem = fmt.Errorf("line %d: subject %.80q is no regular expression that can be used", n+1, m[4])
			if !deny {
				continue
			}
			subject = anything // what is denied is not known
		}
		rules = append(rules, nameRule{kind: namespaces, issuer: plain(m[1]), deny: deny, subjects: []*regexp.Regexp{subject}})
	}
	if len(rules) == 0 && problem == nil {
		return nil, errors.New("no rule of namespaces")
	}
	return rules, problem
}

// checkName looks whether the issuer may give a certificate its name. Of each kind of file that says anything about the
// issuer, one rule must permit the name and none deny it.
func (t *Trust) checkName(c, issuer *x509.Certificate, o Options) ([]Warning, error) {
	policy := cmp.Or(o.Names, Off)
	if policy == Off {
		return nil, nil
	}
	name, subject := smime.SlashDN(issuer.RawSubject), plain(smime.SlashDN(c.RawSubject))
	rules := t.names[plain(name)]
	if len(rules) == 0 {
		if policy == Require {
			return nil, fmt.Errorf("%w: the directory has no rules for %s", ErrName, name)
		}
		return []Warning{{Object: name, Text: "the directory has no rules for the names that it gives"}}, nil
	}
	for _, k := range []kind{signingPolicy, namespaces} {
		of := slices.DeleteFunc(slices.Clone(rules), func(r nameRule) bool { return r.kind != k })
		if len(of) == 0 {
			continue
		}
		if !slices.ContainsFunc(of, func(r nameRule) bool { return !r.deny && r.matches(subject) }) ||
			slices.ContainsFunc(of, func(r nameRule) bool { return r.deny && r.matches(subject) }) {
			return nil, fmt.Errorf("%w: %s to %s, by its %s", ErrName, name, smime.SlashDN(c.RawSubject), [...]string{"signing policy", "namespaces"}[k])
		}
	}
	return nil, nil
}

func (r nameRule) matches(subject string) bool {
	return slices.ContainsFunc(r.subjects, func(s *regexp.Regexp) bool { return s.MatchString(subject) })
}
