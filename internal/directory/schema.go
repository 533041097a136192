package directory

import (
	"strings"
	"unicode/utf8"

	"github.com/fedsite/fedsite/protocol/glue"
)

// rule is how values of an attribute are compared: its EQUALITY in the GLUE schema.
type rule byte

const (
	unknown  rule = iota // no attribute that GLUE or this server has
	exact                // caseExactMatch; no ordering
	ignore               // caseIgnoreMatch; no ordering
	integer              // integerMatch and integerOrderingMatch; no substrings
	oid                  // objectIdentifierMatch; no substrings, no ordering
	boolean              // booleanMatch; likewise
	distinct             // distinguishedNameMatch; likewise
)

// Attributes that entries have beside those of GLUE, in small letters.
const (
	objectClass     = "objectclass"
	entryDN         = "entrydn"
	hasSubordinates = "hassubordinates"
	structuralClass = "structuralobjectclass"
	organization    = "o"
)

// aliases are other names of attributes.
var aliases = map[string]string{
	"2.5.4.0": objectClass, "2.5.4.10": organization, "organizationname": organization,
	"2.5.21.9": structuralClass, "2.5.18.9": hasSubordinates, "1.3.6.1.1.20": entryDN,
	"glue2groupname": "glue2groupid", "glue2grouplocalid": "glue2groupid",
}

// integers are the cloud attributes with the syntax INTEGER, after "GLUE2CloudComputing". GLUE 2.0's own integers belong to
// classes that no cloud has, but for one.
var integers = func() map[string]bool {
	all := map[string]bool{"glue2userdomainlevel": true}
	for class, names := range map[string]string{
		"Service":            "TotalVM RunningVM PendingVM SuspendedVM HaltedVM",
		"Share":              "TotalVM RunningVM PendingVM SuspendedVM HaltedVM MaxVM InstanceMaxCPU InstanceMaxRAM",
		"Manager":            "TotalCPUs TotalRAM InstanceMaxCPU InstanceMaxRAM InstanceMinCPU InstanceMinRAM InstanceMaxDedicatedRAM InstanceMinDedicatedRAM",
		"InstanceType":       "CPU RAM Disk EphemeralStorage",
		"VirtualAccelerator": "Number ClockSpeed Memory",
		"Image":              "DiskSize RecommendedCPU RecommendedRAM MinCPU MinRAM",
		"ManagerAccelerator": "TotalNumber MaxNumber MinNumber",
		"ShareAccelerator":   "MaxNumber",
	} {
		for name := range strings.FieldsSeq(names) {
			all[strings.ToLower("GLUE2CloudComputing"+class+name)] = true
		}
	}
	return all
}()

// core are attributes that every directory knows, and old queries have in their base: no entry here has them.
var core = map[string]bool{
	"c": true, "cn": true, "dc": true, "description": true, "l": true, "mail": true, "mds-vo-name": true, "ou": true, "st": true, "uid": true,
}

// superior are classes above those that entries here name, where the entries don't name them.
var superior = map[string]string{"organization": "top", "glue2group": "top"}

// knownClass tells of classes of which a filter can speak; what it says of others is undefined.
func knownClass(name string) bool {
	switch name {
	case "top", "organization", "organizationalunit", "subschema", "extensibleobject":
		return true
	}
	return strings.HasPrefix(name, "glue2")
}

// describe reads an attribute description: the attribute's name in small letters, its rule, and whether options stand
// behind it ("o;lang-en"), with which no entry here has any value.
func describe(description string) (name string, r rule, options bool) {
	name, rest, options := strings.Cut(description, ";")
	name = canonical(name)
	if options && (rest == "" || strings.Contains(strings.ToLower(rest), "binary")) {
		return name, unknown, true
	}
	return name, ruleOf(name), options
}

// canonical is the first name of an attribute, in small letters.
func canonical(name string) string {
	name = strings.ToLower(name)
	if first, ok := aliases[name]; ok {
		return first
	}
	return name
}

func ruleOf(name string) rule {
	switch {
	case name == objectClass, name == structuralClass:
		return oid
	case name == organization, name == "vendorname", core[name]:
		return ignore
	case name == hasSubordinates:
		return boolean
	case name == entryDN, name == "namingcontexts":
		return distinct
	case integers[name]:
		return integer
	case strings.HasPrefix(name, "supported"):
		return oid
	case strings.HasPrefix(name, "glue2"):
		return exact
	}
	return unknown
}

// matchingRules are those that a filter can ask for by name or number.
var matchingRules = map[string]rule{
	"caseexactmatch": exact, "2.5.13.5": exact,
	"caseignorematch": ignore, "2.5.13.2": ignore,
	"integermatch": integer, "2.5.13.14": integer,
	"objectidentifiermatch": oid, "2.5.13.0": oid,
}

// fits tells whether a rule can be asked for values of an attribute with the rule own.
func (r rule) fits(own rule) bool {
	return r == own || (r == exact || r == ignore) && (own == exact || own == ignore)
}

// normal gives the form of a value in which equal ones are the same; ok is false when it is none of the rule's syntax.
func (r rule) normal(value string) (normal string, ok bool) {
	if value == "" || !utf8.ValidString(value) {
		return value, false
	}
	switch r {
	case integer:
		return wholeNumber(value)
	case distinct:
		dn, err := glue.ParseDN(value)
		if err != nil {
			return value, false
		}
		return key(dn), true
	case boolean:
		return value, value == "TRUE" || value == "FALSE"
	case oid:
		return strings.ToLower(strings.Trim(value, " ")), true
	case ignore:
		value = strings.ToLower(value)
	}
	return fold(value, false, false), true
}

// fold makes one blank of several, and removes those at the ends unless they are to stay.
func fold(s string, left, right bool) string {
	if !strings.Contains(s, "  ") && (left || !strings.HasPrefix(s, " ")) && (right || !strings.HasSuffix(s, " ")) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != ' ' || i == 0 || s[i-1] != ' ' {
			b.WriteByte(s[i])
		}
	}
	s = b.String()
	if !left {
		s = strings.TrimPrefix(s, " ")
	}
	if !right {
		s = strings.TrimSuffix(s, " ")
	}
	return s
}

// wholeNumber takes an integer of any length as RFC 4517 writes it: without a +, and without zeros before it.
func wholeNumber(s string) (string, bool) {
	digits := strings.TrimPrefix(s, "-")
	ok := digits != "" && strings.Trim(digits, "0123456789") == "" && (digits[0] != '0' || s == "0")
	return s, ok
}

// compareNumbers compares two that wholeNumber takes.
func compareNumbers(a, b string) int {
	minus := strings.HasPrefix(a, "-")
	switch {
	case minus != strings.HasPrefix(b, "-"):
		if minus {
			return -1
		}
		return 1
	case minus:
		a, b = b[1:], a[1:]
	}
	if len(a) != len(b) {
		return len(a) - len(b)
	}
	return strings.Compare(a, b)
}
