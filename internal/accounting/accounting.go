package accounting

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/fedsite/fedsite/internal/openstack"
	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/internal/site"
	"github.com/fedsite/fedsite/internal/store"
)

// Kind of record: what the server keeps one of per subject and period. The others of design §7 come later.
const KindCloud = "cloud"

// Deps is what the steps that do I/O need.
type Deps struct {
	Now func() time.Time // UTC; one clock for windows, sightings and signing times (design §7, Clocks)
	DB  *store.Store
	Log *slog.Logger
	Run *run.Recorder

	Sent *Archive // where delivered messages are kept; nil = nowhere
}

// Compute is one project at a cloud, seen with a token of that very project. Pages come in the order of the cloud's
// answer and carry the instant at which they were asked for.
type Compute interface {
	ProjectID() string
	// Existing lists the VMs that exist.
	Existing(ctx context.Context, page func(openstack.Page) error) error
	// Changed lists the VMs that changed since an instant, the ended ones too.
	Changed(ctx context.Context, since time.Time, page func(openstack.Page) error) error
	// Server asks for one VM; openstack.ErrNotFound when there is none.
	Server(ctx context.Context, id string) (openstack.Server, error)
	// Actions lists what was done to a VM, oldest first.
	Actions(ctx context.Context, id string) ([]openstack.Action, error)
	// Used gives the sizes of the VMs that lived at an instant, by VM, also those whose flavor was deleted.
	Used(ctx context.Context, at time.Time) (map[string]openstack.Flavor, error)
}

// Source is one cloud, through the credential that accounting uses there.
type Source interface {
	// Projects lists the projects that the credential can sign in to.
	Projects(ctx context.Context) ([]site.Project, error)
	// Project signs in to one of them.
	Project(ctx context.Context, id string) (Compute, error)
	// Lookup starts the look-ups of one run; answers are kept for that run.
	Lookup() Lookup
}

// Lookup gives what a listing names by id only.
type Lookup interface {
	UserName(ctx context.Context, userID string) (string, error)
	Image(ctx context.Context, c Compute, imageID string) (openstack.Image, error)
	// Flavor gives a flavor whose listing names its id only; openstack.ErrNotFound for a deleted one.
	Flavor(ctx context.Context, c Compute, flavorID string) (openstack.Flavor, error)
}

// Policy says what of a personal field is sent (design §4, Privacy).
type Policy string

// Policies of the fields GlobalUserName (name, id, omit) and MachineName (name, omit).
const (
	SendName Policy = "name"
	SendID   Policy = "id"
	Omit     Policy = "omit"
)

// Previously says what accounted for the site before.
type Previously string

// What went before: cASO, so that durations go on from each VM's creation, or nothing, so that they begin at Since.
const (
	CASO    Previously = "caso"
	Nothing Previously = "nothing"
)

// Benchmark is what the configuration says of flavors that carry no benchmark themselves.
type Benchmark struct {
	Flavor string // shell pattern of the flavor's name
	Type   string
	Value  float64
}

// Settings is how accounting is done for one site.
type Settings struct {
	Mode       site.Mode
	Previously Previously // "" = not said; counted as after cASO, and never sent
	Since      time.Time  // zero = the start of the month of the first collection
	ActiveFrom time.Time  // zero = the start of the month in which the site goes active; after Nothing, that of Since
	Overlap    time.Duration
	Settle     time.Duration
	Charge     Charge
	UserName   Policy
	Machine    Policy
	Benchmarks []Benchmark // first match wins
	MaxRecords int         // records in a message, at most; 0 = 100, and never more
	CloudType  string      // "fedsite/1.0 (OpenStack)"
}

// Target is a site that accounting works for.
type Target struct {
	Site         site.Site
	Settings     Settings
	Clouds       []CloudTarget
	Destinations []Destination
	Copies       []string // names of the destinations that say copy: true; of the others there is one (rule 13)
}

// copies tells whether a destination is a copy beside the one whose word counts.
func (t *Target) copies(destination string) bool { return slices.Contains(t.Copies, destination) }

// CloudTarget is a cloud of a target, with the way to it.
type CloudTarget struct {
	Cloud    site.Cloud
	Mode     site.Mode // its own, which counts where it is lower than the site's; "" = the site's
	Source   Source
	Parallel int // projects collected at once
}
