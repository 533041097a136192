package config

import (
	"slices"
	"strings"
)

// notYet is what a key or value gets that is agreed on, and that this version cannot do.
const notYet = "not there yet in this version of fedsite"

// laterKeys are the keys that are agreed on and not there yet, by their path without the places in lists; * is any key
// of a mapping that the file names itself. A key that comes is taken out here and put into the file's structs.
var laterKeys = []string{
	"access", "entitlements",

	"clouds.credential.access",
	"clouds.mode.access",
	"vos.credential.access",
	"vos.mode.access",

	"accounting.ams.topics.storage", "accounting.ams.topics.accelerator", "accounting.ams.topics.ip", "accounting.ams.topics.energy",

	"web.auth",
}

// laterValues are the values of that kind, by path.
var laterValues = map[string][]string{
	"accounting.records": {"accelerator", "storage", "ip", "energy"},
	"mute.part":          {"access"},
}

// isLater tells whether the key at the path is agreed on and not there yet.
func isLater(path []string) bool {
	return slices.ContainsFunc(laterKeys, func(pattern string) bool { return fits(pattern, path) })
}

// isLaterValue tells the same of a value.
func isLaterValue(path []string, value string) bool {
	for pattern, values := range laterValues {
		if fits(pattern, path) && slices.Contains(values, value) {
			return true
		}
	}
	return false
}

// fits compares a path with a pattern. What a site may say for itself has the same form as at the top of the file.
func fits(pattern string, path []string) bool {
	want := strings.Split(pattern, ".")
	have := slices.DeleteFunc(slices.Clone(path), func(s string) bool { return strings.HasPrefix(s, "[") })
	same := func(have []string) bool {
		return slices.EqualFunc(want, have, func(w, h string) bool { return w == "*" || w == h })
	}
	return same(have) || len(have) > 1 && have[0] == "sites" && same(have[1:])
}
