package telemetry

import "time"

// Snapshot is what the metrics show at one moment. Whoever gives it reads it from the store. Site and cloud are names, as
// in the configuration.
type Snapshot struct {
	Clouds       []CloudFigures
	Sites        []SiteFigures
	Months       []MonthFigures
	Certificates []CertificateFigures
	Credentials  []CredentialFigures
	Publications []PublicationFigures
	Shares       []ShareFigures
	Images       []ImageFigures
	ImageSources []ImageSourceFigures
	Tasks        []TaskFigures
	Parts        []PartFigures
	Directory    []DirectoryFigures
	Refused      []RefusedFigures
	Backup       time.Time // when the newest snapshot of the store was made; zero = none
}

// CloudFigures are accounting's of one cloud.
type CloudFigures struct {
	Site, Cloud    string
	CollectedUntil time.Time // zero = nothing yet: left out
	GapWindows     int
	HeldShares     int
	Vanished       int64
}

// SiteFigures are of one site.
type SiteFigures struct {
	Site         string
	ConfigOK     bool
	Downtime     bool          // all of it is in an outage that GOCDB tells of, or was until just now
	Sends        bool          // it is active, and has a destination: else what follows is left out
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
	NotAfter   time.Time // zero = it cannot be read: left out
}

// CredentialFigures tells whether a cloud took a part's credential when it was last asked; one that did not answer refused
// nothing.
type CredentialFigures struct {
	Site, Cloud, Part string
	OK                bool
}

// PublicationFigures tell what a sink of an active site has.
type PublicationFigures struct {
	Site, Name string    // of the sink
	Delivered  time.Time // when it got the document that it got the longest ago; zero = none yet: left out
}

// ShareFigures are discovery's of one share. Several of a VO at a cloud count as the worst of them.
type ShareFigures struct {
	Site, Cloud, VO string
	Stale           time.Duration // since when not all of it could be asked; 0 = all of it could
}

// ImageFigures are those of the images that a VO is to have at a cloud.
type ImageFigures struct {
	Site, Cloud, VO string
	Wanted, Present int
	Behind          time.Duration // since the oldest image that lacks was published; 0 = none lacks, or that is not known
}

// ImageSourceFigures are of one source of images.
type ImageSourceFigures struct {
	Site, Name string
	OK         bool          // it could be read, and is believed
	Published  time.Time     // when its list was made; zero = it does not say: left out
	Delay      time.Duration // from publication to Glance, of the image that came last; 0 = none came yet: left out
}

// TaskFigures are of one task.
type TaskFigures struct {
	Site        string    // "" = of the whole
	Task        string    // without its site: accounting.collect
	LastSuccess time.Time // zero = never yet: left out
	Period      time.Duration
	Paused      bool
}

// PartFigures is the health of a part at a site.
type PartFigures struct {
	Site, Part string
	State      int // 0 ok or off, 1 warn, 2 fail
}

// DirectoryFigures are what the LDAP servers of this process answered since it began.
type DirectoryFigures struct {
	Operation, Result string // search; the result code of LDAP, "0"
	Answers           int64
	Took              time.Duration // all of them together
}

// RefusedFigures are the connections that the LDAP servers of this process had no room for since it began.
type RefusedFigures struct {
	Reason      string // connections, address
	Connections int64
}

// metric is one metric: its name without the prefix, what it says, its labels, and where its samples come from.
type metric struct {
	name, help string
	labels     []string
	counter    bool // it only grows
	samples    func(s Snapshot, add func(value float64, labels ...string))
}

// prefix begins the name of each metric that is fedsite's own.
const prefix = "fedsite_"

// metrics are fedsite's own, in the order of the reference.
var metrics = []metric{
	{name: "accounting_collected_until_timestamp_seconds", labels: []string{"site", "cloud"},
		help: "Up to when all projects of the cloud were collected.",
		samples: func(s Snapshot, add func(float64, ...string)) {
			for _, c := range s.Clouds {
				if !c.CollectedUntil.IsZero() {
					add(seconds(c.CollectedUntil), c.Site, c.Cloud)
				}
			}
		}},
	{name: "accounting_gap_windows", labels: []string{"site", "cloud"},
		help: "Stretches of time in which a project was not collected, though it was before or after.",
		samples: func(s Snapshot, add func(float64, ...string)) {
			for _, c := range s.Clouds {
				add(float64(c.GapWindows), c.Site, c.Cloud)
			}
		}},
	{name: "accounting_held_shares", labels: []string{"site", "cloud"},
		help: "Projects of which so much is gone that nothing of them is closed until somebody says so.",
		samples: func(s Snapshot, add func(float64, ...string)) {
			for _, c := range s.Clouds {
				add(float64(c.HeldShares), c.Site, c.Cloud)
			}
		}},
	{name: "accounting_vanished_vms_total", labels: []string{"site", "cloud"}, counter: true,
		help: "VMs that were closed because they could not be found any more.",
		samples: func(s Snapshot, add func(float64, ...string)) {
			for _, c := range s.Clouds {
				add(float64(c.Vanished), c.Site, c.Cloud)
			}
		}},
	{name: "accounting_unsent_oldest_seconds", labels: []string{"site"},
		help: "Age of the oldest record that a destination has not got, at most; 0 when none waits.",
		samples: func(s Snapshot, add func(float64, ...string)) {
			for _, f := range s.sending() {
				add(f.UnsentOldest.Seconds(), f.Site)
			}
		}},
	{name: "accounting_unsent_records", labels: []string{"site"},
		help: "Records that wait, as they were counted after the last attempt to send.",
		samples: func(s Snapshot, add func(float64, ...string)) {
			for _, f := range s.sending() {
				add(float64(f.Unsent), f.Site)
			}
		}},
	{name: "accounting_parked_records", labels: []string{"site"},
		help: "Records that are not sent because something is wrong with them, or that were refused.",
		samples: func(s Snapshot, add func(float64, ...string)) {
			for _, f := range s.sending() {
				add(float64(f.Parked), f.Site)
			}
		}},
	{name: "month_end_complete", labels: []string{"site", "month"},
		help: "1 when all of the month that ended last was collected and, by an active site, sent; else 0.",
		samples: func(s Snapshot, add func(float64, ...string)) {
			for _, m := range s.Months {
				add(truth(m.Complete), m.Site, m.Month)
			}
		}},
	{name: "certificate_expiry_timestamp_seconds", labels: []string{"site", "name"},
		help: "When the certificate ends.",
		samples: func(s Snapshot, add func(float64, ...string)) {
			for _, c := range s.Certificates {
				if !c.NotAfter.IsZero() {
					add(seconds(c.NotAfter), c.Site, c.Name)
				}
			}
		}},
	{name: "credential_ok", labels: []string{"site", "cloud", "part"},
		help: "0 when the cloud refused the part's credential at the last check; else 1.",
		samples: func(s Snapshot, add func(float64, ...string)) {
			for _, c := range s.Credentials {
				add(truth(c.OK), c.Site, c.Cloud, c.Part)
			}
		}},
	{name: "discovery_published_timestamp_seconds", labels: []string{"site", "name"},
		help: "When the sink of that name got the document that it got the longest ago.",
		samples: func(s Snapshot, add func(float64, ...string)) {
			for _, p := range s.Publications {
				if !p.Delivered.IsZero() {
					add(seconds(p.Delivered), p.Site, p.Name)
				}
			}
		}},
	{name: "discovery_share_stale_seconds", labels: []string{"site", "cloud", "vo"},
		help: "For how long not all that the VO is offered could be asked; 0 when all of it could.",
		samples: func(s Snapshot, add func(float64, ...string)) {
			worst, order := map[ShareFigures]time.Duration{}, []ShareFigures{}
			for _, f := range s.Shares {
				key := ShareFigures{Site: f.Site, Cloud: f.Cloud, VO: f.VO}
				if _, ok := worst[key]; !ok {
					order = append(order, key)
				}
				worst[key] = max(worst[key], f.Stale)
			}
			for _, key := range order {
				add(worst[key].Seconds(), key.Site, key.Cloud, key.VO)
			}
		}},
	{name: "images_wanted", labels: []string{"site", "cloud", "vo"},
		help: "Images that the VO is to have at the cloud, by what sources say.",
		samples: func(s Snapshot, add func(float64, ...string)) {
			for _, f := range s.Images {
				add(float64(f.Wanted), f.Site, f.Cloud, f.VO)
			}
		}},
	{name: "images_present", labels: []string{"site", "cloud", "vo"},
		help: "Those of them that are in Glance, in the version that the source has.",
		samples: func(s Snapshot, add func(float64, ...string)) {
			for _, f := range s.Images {
				add(float64(f.Present), f.Site, f.Cloud, f.VO)
			}
		}},
	{name: "images_behind_seconds", labels: []string{"site", "cloud", "vo"},
		help: "For how long the oldest image that lacks has been published; 0 when none lacks.",
		samples: func(s Snapshot, add func(float64, ...string)) {
			for _, f := range s.Images {
				add(f.Behind.Seconds(), f.Site, f.Cloud, f.VO)
			}
		}},
	{name: "image_source_ok", labels: []string{"site", "name"},
		help: "1 when the source of images could be read and is believed; else 0.",
		samples: func(s Snapshot, add func(float64, ...string)) {
			for _, f := range s.ImageSources {
				add(truth(f.OK), f.Site, f.Name)
			}
		}},
	{name: "image_source_published_timestamp_seconds", labels: []string{"site", "name"},
		help: "When the list that was last accepted was made.",
		samples: func(s Snapshot, add func(float64, ...string)) {
			for _, f := range s.ImageSources {
				if !f.Published.IsZero() {
					add(seconds(f.Published), f.Site, f.Name)
				}
			}
		}},
	{name: "image_publication_delay_seconds", labels: []string{"site", "name"},
		help: "How long the image of the source that came last took from its publication to Glance.",
		samples: func(s Snapshot, add func(float64, ...string)) {
			for _, f := range s.ImageSources {
				if f.Delay > 0 {
					add(f.Delay.Seconds(), f.Site, f.Name)
				}
			}
		}},
	{name: "task_last_success_timestamp_seconds", labels: []string{"site", "task"},
		help: "When the task last did its work, or most of it.",
		samples: func(s Snapshot, add func(float64, ...string)) {
			for _, t := range s.Tasks {
				if !t.LastSuccess.IsZero() {
					add(seconds(t.LastSuccess), t.Site, t.Task)
				}
			}
		}},
	{name: "task_period_seconds", labels: []string{"site", "task"},
		help: "How often the task is to run.",
		samples: func(s Snapshot, add func(float64, ...string)) {
			for _, t := range s.Tasks {
				if t.Period > 0 {
					add(t.Period.Seconds(), t.Site, t.Task)
				}
			}
		}},
	{name: "tasks_paused", labels: []string{"site"},
		help: "Tasks of the site that somebody has paused; without a site, those of the whole.",
		samples: func(s Snapshot, add func(float64, ...string)) {
			paused, sites := map[string]int{}, []string{}
			for _, t := range s.Tasks {
				if _, ok := paused[t.Site]; !ok {
					sites = append(sites, t.Site)
				}
				if paused[t.Site] += 0; t.Paused {
					paused[t.Site]++
				}
			}
			for _, site := range sites {
				add(float64(paused[site]), site)
			}
		}},
	{name: "downtime", labels: []string{"site"},
		help: "1 while all of the site is in an outage declared in GOCDB, and until its tasks have run once more.",
		samples: func(s Snapshot, add func(float64, ...string)) {
			for _, f := range s.Sites {
				add(truth(f.Downtime), f.Site)
			}
		}},
	{name: "health", labels: []string{"site", "part"},
		help: "Health of a part at a site: 0 ok, switched off or in a downtime, 1 warning, 2 failed.",
		samples: func(s Snapshot, add func(float64, ...string)) {
			for _, p := range s.Parts {
				add(float64(p.State), p.Site, p.Part)
			}
		}},
	{name: "site_config_ok", labels: []string{"site"},
		help: "1 when the site's configuration is in force as its file says; 0 when the last good one is instead.",
		samples: func(s Snapshot, add func(float64, ...string)) {
			for _, f := range s.Sites {
				add(truth(f.ConfigOK), f.Site)
			}
		}},
	{name: "ldap_answers_total", labels: []string{"operation", "result"}, counter: true,
		help: "Answers of the LDAP servers since this process began, by operation and LDAP's result code.",
		samples: func(s Snapshot, add func(float64, ...string)) {
			for _, d := range s.Directory {
				add(float64(d.Answers), d.Operation, d.Result)
			}
		}},
	{name: "ldap_answer_seconds_total", labels: []string{"operation", "result"}, counter: true,
		help: "Time that these answers took, all together.",
		samples: func(s Snapshot, add func(float64, ...string)) {
			for _, d := range s.Directory {
				add(d.Took.Seconds(), d.Operation, d.Result)
			}
		}},
	{name: "ldap_refused_connections_total", labels: []string{"reason"}, counter: true,
		help: "Connections to the LDAP servers that found no room since this process began: too many in all (connections), or of one address (address).",
		samples: func(s Snapshot, add func(float64, ...string)) {
			for _, r := range s.Refused {
				add(float64(r.Connections), r.Reason)
			}
		}},
	{name: "store_backup_timestamp_seconds",
		help: "When the newest snapshot of the store was made.",
		samples: func(s Snapshot, add func(float64, ...string)) {
			if !s.Backup.IsZero() {
				add(seconds(s.Backup))
			}
		}},
}

// sending gives the sites that send.
func (s Snapshot) sending() (all []SiteFigures) {
	for _, f := range s.Sites {
		if f.Sends {
			all = append(all, f)
		}
	}
	return all
}

func seconds(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
