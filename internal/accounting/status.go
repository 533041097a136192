package accounting

import (
	"time"

	"github.com/fedsite/fedsite/internal/site"
)

// Status is how far a site's accounting is, by its own tables and files; no cloud and no broker is asked.
type Status struct {
	Site       string // name
	SiteID     string
	Mode       site.Mode
	Since      time.Time // from when on is accounted; zero = nothing was collected yet
	ActiveFrom time.Time // from when on is sent; zero = nothing yet

	Clouds       []CloudStatus
	Destinations []DestinationStatus
	Unsendable   int64 // records that no destination is to get, because something is wrong with them; parked in the ledger

	Month    string // the last month that has ended, "2026-10"
	Complete bool   // all of it was collected and, by an active site, sent
	Missing  string // why it is not complete
}

// CloudStatus is how far a cloud was collected. A project that no VO has any more, and without open VMs, does not count.
type CloudStatus struct {
	ID, Name string
	Projects int       // that count
	Until    time.Time // up to which all of them were collected; zero = not one yet
	Newest   time.Time // up to which the furthest was
	Behind   string    // the project that is furthest behind, as reports name it
	Gaps     []Gap
	Held     []Held
	Vanished int64 // VMs that were closed because they could not be found any more, ever
}

// Gap is a stretch of time in which a project was not collected, though it was before and after.
type Gap struct {
	Project  string // id
	From, To time.Time
}

// DestinationStatus is what a destination has not got.
type DestinationStatus struct {
	Name    string
	Copy    bool
	Clear   time.Time // everything that was collected then is there; zero = never yet
	Through time.Time // use up to this instant is there; zero = not known
	Oldest  time.Time // since when the oldest record waits, or earlier; zero = nothing waits
	Unsent  int64     // records that wait, cut or not
	Queued  int64     // messages in a queue that nobody has taken yet
	Parked  int64     // records that it refused
	Settled time.Time // when it last took something; zero = never
	Why     string    // why the last run stopped; "" = it went through

	Certificates []Certificate
}

// Certificate is one that a destination needs.
type Certificate struct {
	Name     string // "host", "receiver"
	DN       string
	NotAfter time.Time
	Err      string // why it cannot be used at all
}
