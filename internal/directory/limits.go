package directory

import (
	"cmp"
	"time"
)

// Limits bound what strangers can take. A zero value stands for the default.
type Limits struct {
	Connections int           // at once; 256
	PerAddress  int           // of them from one IPv4 address, or one IPv6 network of 64 bits; 32
	Request     int           // bytes of one request; 128 KiB
	FilterDepth int           // of filters within filters; 32
	FilterSize  int           // conditions of one filter; 1,000
	Entries     int           // of one answer, or one page; 500,000
	Search      time.Duration // for one answer, or one page; 1 min
	Idle        time.Duration // between requests, and for one to arrive whole; 2 min
	Write       time.Duration // for a reader to take 32 KiB; 30 s
	Grace       time.Duration // for answers under way when the service stops; 5 s
}

func (l Limits) withDefaults() Limits {
	return Limits{
		Connections: cmp.Or(l.Connections, 256),
		PerAddress:  cmp.Or(l.PerAddress, 32),
		Request:     cmp.Or(l.Request, 128<<10),
		FilterDepth: cmp.Or(l.FilterDepth, 32),
		FilterSize:  cmp.Or(l.FilterSize, 1_000),
		Entries:     cmp.Or(l.Entries, 500_000),
		Search:      cmp.Or(l.Search, time.Minute),
		Idle:        cmp.Or(l.Idle, 2*time.Minute),
		Write:       cmp.Or(l.Write, 30*time.Second),
		Grace:       cmp.Or(l.Grace, 5*time.Second),
	}
}
