package config

import (
	"time"

	"github.com/fedsite/fedsite/internal/site"
)

// Images is how a site's images are brought.
type Images struct {
	Mode           site.Mode // of the site: clouds and VOs may have lower ones; disabled without a source
	Schedule       ImageSchedule
	Instance       string   // who manages the images, as their marks say
	Formats        []string // disk formats that the site takes, the preferred one first
	Sharing        string   // copy, members
	Owner          string   // VO whose project owns shared images; "" = the source's first one
	Visibility     string   // private, shared, community, public
	NamePrefix     string
	Properties     map[string]string // on every image
	MinDisk        bool
	KeepLast       int
	OnExpiredList  string // keep, retire
	RemoveCount    int    // so many images of a source may go in one run,
	RemovePercent  int    // or so many percent, whichever is more
	Parallel       int
	MaxSize        int64 // bytes of a file
	MaxVirtualSize int64 // bytes of the disk in it
	Staging        string
	StagingDir     string
	StageAbove     int64 // bytes
	QemuImg        string
	CADir          string
	CRL            string // off, if-present, require
	AllowSHA1      bool
	StrictPurpose  bool
	SigningPolicy  bool
	Compressed     bool // disks packed by gzip or bzip2 are taken
	Adopt          []string
	Blocks         string // file; "" = blocks.yaml beside the configuration
	StaleUpload    time.Duration
	GoneAfter      time.Duration
	Hook           Secret // that a registry's call must know; not set = nobody calls
	Network        Network
	Sources        []ImageSource // in file order, each name once
}

// ImageSchedule is when the tasks of images run, as cron expressions; "" = as usual, at a moment of the site's own.
type ImageSchedule struct{ Sync, Check string }

// ImageSource is where images come from. Exactly one of List, Registry and Own is set.
type ImageSource struct {
	Name     string   // unique within the site: as the file has it, else its kind, the second one oci-2
	VOs      []string // who gets its images; nil = as the list says, "*" = all of the site
	Images   []string // only these; nil = all
	List     *ListSource
	Registry *RegistrySource
	Own      string // path or URL of the site's own list; "" = it is another kind
}

// ListSource is a signed image list.
type ListSource struct {
	URL              Secret // it may hold a token
	Token            Secret // AppDB's personal access token
	EndorserDN       string // in slash form; "" = whoever the list names
	EndorserCA       string
	InsecureUnsigned bool
	Servers          map[string]string // keys of Config.Credentials, by host of image files
}

// RegistrySource is an OCI registry.
type RegistrySource struct {
	URL          string
	Project      string   // of Harbor; "" = ProjectIsVO, or Repositories are named
	ProjectIsVO  bool     // each project of Harbor that is called as a VO is that VO's
	Repositories []string // of any registry
	Tags         string   // regular expression of tags
	Annotation   string   // that an image must have; "" = none
	Credential   string   // key of Config.Credentials; "" = none
}
