package config

// Unit is the file that one site was read from: a bad one spoils no other site (design §4, Included files are units).
type Unit struct {
	File string // "" = the main file
	Text []byte // what ParseUnit reads again: comments left out, no secret in it
	Err  error  // why this is the last good configuration, and not what the file says; nil = it is
}

// BrokenUnit is a site's file that cannot be used as it is.
type BrokenUnit struct {
	File string
	Site string // name in GOCDB, as far as the file says it
	Err  error  // *Errors, or why it cannot be read
}

// Include is a set of site files.
type Include struct {
	Pattern string // absolute
	Prune   bool   // of sites whose file is gone, also many are given up at once without a question
}
