package telemetry

import "time"

// Snapshot is what the metrics show at one moment. Whoever gives it reads it from the store. Site, cloud and VO are names,
// as in the configuration.
type Snapshot struct {
	Clouds       []CloudFigures
	Sites        []SiteFigures
	Months       []MonthFigures
	Certificates []CertificateFigures
	Credentials  []CredentialFigures
	Tasks        []TaskFigures
	Parts        []PartFigures
	Backup       time.Time // when the newest snapshot of the store was made; zero = none
}

// CloudFigures are accounting's of one cloud. Zero times are left out.
type CloudFigures struct {
	Site, Cloud    string
	CollectedUntil time.Time
	GapWindows     int
	HeldShares     int
	Vanished       int64
}

// SiteFigures are of one site.
type SiteFigures struct {
	Site         string
	ConfigOK     bool
	Sends        bool          // it has a destination, and is active: else what follows is left out
	UnsentOldest time.Duration // age
	Unsent       int64
	Parked       int64
}

// MonthFigures tells of a month that has ended whether all of it was collected and sent.
type MonthFigures struct {
	Site, Month string // "2026-10"
	Complete    bool
}

// CertificateFigures are of one certificate.
type CertificateFigures struct {
	Site, Name string
	NotAfter   time.Time
}

// CredentialFigures tells whether a part could sign in with its credential when it last tried.
type CredentialFigures struct {
	Site, Cloud, Part string
	OK                bool
}

// TaskFigures are of one task.
type TaskFigures struct {
	Site, Part  string
	Task        string    // without its site: accounting.collect
	LastSuccess time.Time // zero = never yet: left out
	Period      time.Duration
	Paused      bool
}

// PartFigures is the health of a part at a site: 0 ok or off, 1 warn, 2 fail; unknown is left out.
type PartFigures struct {
	Site, Part string
	State      int
}
