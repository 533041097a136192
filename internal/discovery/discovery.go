package discovery

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/fedsite/fedsite/internal/openstack"
	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/internal/site"
	"github.com/fedsite/fedsite/internal/store"
	"github.com/fedsite/fedsite/protocol/gocdb"
)

// Deps is what the steps that do I/O need.
type Deps struct {
	Now func() time.Time // UTC
	DB  *store.Store
	Log *slog.Logger
	Run *run.Recorder
}

// Target is a site that discovery works for.
type Target struct {
	Site     site.Site
	Settings Settings
	Clouds   []CloudTarget // in file order; those with the same EP are regions of one endpoint
	Registry Registry      // nil = GOCDB is not asked
	Sinks    []Sink
}

// CloudTarget is a cloud of a target, with the way to it.
type CloudTarget struct {
	Cloud          site.Cloud
	EP             string    // Keystone's URL exactly as the site has it: ids are made of it
	Mode           site.Mode // its own, which counts where it is lower than the site's; "" = the site's
	Source         Source
	GOCDBKey       string // primary key of the endpoint in GOCDB; "" = it is looked up
	Parallel       int    // projects asked at once
	Authentication string // keystoneauth's name of how the credential signs in: v3password, v3oidcaccesstoken …
}

// Source is one cloud, through the credential that discovery uses there.
type Source interface {
	// Projects lists the projects that the credential can sign in to. Beside an *UnlistedError it gives those that could be
	// listed.
	Projects(ctx context.Context) ([]site.Project, error)
	// Inventory signs in to one of them.
	Inventory(ctx context.Context, project string) (Inventory, error)
	// Authorities tells whose certificate Keystone shows.
	Authorities(ctx context.Context) (openstack.Authorities, error)
}

// UnlistedError says of some projects of a cloud, each with a credential of its own, why they could not be listed.
type UnlistedError struct {
	Why map[string]error // by what the file calls the project, or by the VO where its credential alone says which it is
}

// Error names one of them.
func (e *UnlistedError) Error() string {
	for _, name := range slices.Sorted(maps.Keys(e.Why)) {
		return fmt.Sprintf("%d projects could not be listed, %s among them: %v", len(e.Why), name, e.Why[name])
	}
	return "no project"
}

// of gives why a VO's project could not be listed; nil when it could, or when it is not known.
func (e *UnlistedError) of(vo site.VO) error {
	if e == nil {
		return nil
	}
	return e.Why[cmp.Or(vo.Project, vo.Name)]
}

// Inventory is what one project is offered. Methods may be called at the same time, and each fails alone; *openstack.Inventory
// is one.
type Inventory interface {
	Scope() openstack.Scope
	ComputeVersion(ctx context.Context) (string, error)
	Flavors(ctx context.Context, cache *openstack.ExtraSpecs) ([]openstack.ListedFlavor, []openstack.BadEntry, error)
	Images(ctx context.Context, cache *openstack.DecodedImages) ([]openstack.ListedImage, []openstack.BadEntry, error)
	Networks(ctx context.Context) ([]openstack.Network, []openstack.BadEntry, error)
	Quotas(ctx context.Context) (openstack.Quotas, error)
	NetworkQuotas(ctx context.Context) (openstack.Quotas, error)
	VolumeQuotas(ctx context.Context) (openstack.Quotas, error)
	VMCounts(ctx context.Context) (openstack.VMCounts, error)
	Catalog() []openstack.Endpoint
}

// Registry is GOCDB; *gocdb.Client is one.
type Registry interface {
	Services(ctx context.Context, q gocdb.Query) ([]gocdb.Service, []gocdb.Oddity, error)
	Downtimes(ctx context.Context, q gocdb.Query, after time.Time) ([]gocdb.Downtime, []gocdb.Oddity, error)
}

// Settings is how discovery is done for one site.
type Settings struct {
	Mode    site.Mode
	KeepFor time.Duration // how long what fails keeps its last good value
	Rendering
}

// Rendering is what of a catalog is published, and how.
type Rendering struct {
	Images    ImageChoice
	Snapshots bool // images of the type snapshot, too
	Flavors   FlavorChoice
	Merged    bool          // one object for an image or flavor with several shares, in JSON
	Validity  time.Duration // how long the document counts
	GPU       []GPURule     // accelerators of flavors that do not say themselves; the first that fits
}

// ImageChoice says which images are published.
type ImageChoice string

// Choices of images.
const (
	Marketplace ImageChoice = "marketplace" // with a marketplace URI, from the federation
	Shared      ImageChoice = "shared"      // those, public ones and those that were shared with the project
	AllImages   ImageChoice = "all"         // the project's own ones, too
)

// FlavorChoice says which flavors are published.
type FlavorChoice string

// Choices of flavors.
const (
	AllFlavors     FlavorChoice = "all"
	PublicFlavors  FlavorChoice = "public"
	PrivateFlavors FlavorChoice = "private"
)

// GPURule is what the configuration says of the accelerators of flavors.
type GPURule struct {
	Flavor              string // shell pattern of the flavor's name
	Type, Vendor, Model string
	Number              float64
	Memory              int64 // MiB; 0 = not said
}
