package images

import (
	"context"
	"io"
	"log/slog"
	"time"

	"github.com/fedsite/fedsite/internal/openstack"
	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/internal/site"
	"github.com/fedsite/fedsite/internal/store"
)

// Deps is what the steps that do I/O need.
type Deps struct {
	Now func() time.Time // UTC
	DB  *store.Store
	Log *slog.Logger
	Run *run.Recorder
}

// Target is a site whose clouds get images.
type Target struct {
	Site     site.Site
	Settings Settings
	Clouds   []CloudTarget // in file order
	Sources  []SourceTarget
	Blocks   []Block
	Broken   error // why the blocks cannot be read: nothing is brought then
	// Reblock reads the blocks anew, which may be others since a long run began; nil = they are not.
	Reblock func() ([]Block, error)
	Convert Converter // nil = nothing can be converted here
}

// CloudTarget is a cloud of a target, with the way to it.
type CloudTarget struct {
	Cloud site.Cloud // the modes of its VOs are those of images
	Mode  site.Mode  // its own, which counts where it is lower than the site's; "" = the site's
	Way   Way
	// Parallel is how many projects are asked at once.
	Parallel int
}

// Way is the way to a cloud through the credential that images use there.
type Way interface {
	// Projects lists the projects that the credential can sign in to.
	Projects(ctx context.Context) ([]site.Project, error)
	// Store signs in to one of them.
	Store(ctx context.Context, project string) (Store, error)
}

// Store is Glance as one project sees it, and the project's VMs; *openstack.ImageStore is one. Methods may be called at the
// same time.
type Store interface {
	Hides() bool            // it can hide images: from Glance 2.7
	SharedVisibility() bool // it calls shared images shared: from 2.5
	Own(ctx context.Context) ([]openstack.StoredImage, []openstack.BadEntry, error)
	Image(ctx context.Context, id string) (openstack.StoredImage, error)
	Create(ctx context.Context, i openstack.NewImage) (openstack.StoredImage, error)
	Upload(ctx context.Context, id string, size int64, body io.Reader) error
	Change(ctx context.Context, id string, changes []openstack.Change) (openstack.StoredImage, error)
	Deactivate(ctx context.Context, id string) error
	Reactivate(ctx context.Context, id string) error
	Delete(ctx context.Context, id string) error
	Members(ctx context.Context, id string) ([]openstack.Member, error)
	Share(ctx context.Context, id, project string) error
	Unshare(ctx context.Context, id, project string) error
	Accept(ctx context.Context, id string) error
	Servers(ctx context.Context, image string) ([]openstack.ServerRef, error)
}

// Settings is the policy of one site.
type Settings struct {
	Mode     site.Mode
	Instance string   // who manages, as the mark on images says
	Formats  []string // that the site takes, the preferred one first
	Sharing  Sharing
	Owner    string // sharing: VO whose project owns the images; "" = the first VO of the source

	Visibility string // of images that are not shared with members
	Prefix     string // before an image's name
	Properties map[string]string
	MinDisk    bool // say the virtual size, rounded up, as the smallest disk
	KeepLast   int  // replaced versions that stay, hidden

	ExpiredList  ExpiredList
	RemoveCount  int  // so many images of a source may go in one run,
	RemoveShare  int  // or so many percent of them, whichever is more
	AllowRemoval bool // the operator has seen that more go
	PruneOrphans bool // the operator wants images of sources that are not configured any more to go
	Yes          bool // the operator has seen that another manager changed an image lately
	Adopt        []string
	GoneAfter    time.Duration
	StaleUpload  time.Duration

	Parallel       int
	MaxSize        int64 // bytes of a file
	MaxVirtualSize int64 // bytes of the disk in it
	Compressed     bool
	Staging        Staging
	StagingDir     string
	StageAbove     int64 // bytes
}

// lends tells whether an image may be used outside of the project that owns it.
func (s Settings) lends() bool { return s.Sharing == Share || s.Visibility != "private" }

// Sharing says whether an image is there once for all projects of a cloud, or once for each.
type Sharing string

// Ways of sharing.
const (
	Copy  Sharing = "copy"
	Share Sharing = "members"
)

// ExpiredList says what becomes of the images of a list that has ended.
type ExpiredList string

// What becomes of them.
const (
	KeepExpired   ExpiredList = "keep"
	RetireExpired ExpiredList = "retire"
)

// Staging says when a file is kept on disk on its way.
type Staging string

// When files are staged.
const (
	StageAuto   Staging = "auto"
	StageNever  Staging = "never"
	StageAlways Staging = "always"
)
