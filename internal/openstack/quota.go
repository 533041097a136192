package openstack

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"strings"
)

// Quotas is what a service lets a project use, by the service's own words; -1 is without limit. Where they may not be read,
// or the cloud does not have the service, they are not known, which is no failure.
type Quotas struct {
	Limits  map[string]int64
	Used    map[string]int64 // where the service says that, too
	Unknown error            // why they are not known; nil = they are
}

// Quotas gives Nova's: instances, cores, ram (MiB), floating_ips and so on.
func (i *Inventory) Quotas(ctx context.Context) (Quotas, error) {
	n := i.compute(ctx)
	if n.err != nil {
		return Quotas{}, n.err
	}
	var answer struct {
		Set map[string]json.RawMessage `json:"quota_set"`
	}
	at := n.endpoint + "os-quota-sets/" + url.PathEscape(i.session.projectID)
	return quotas(i.session.get(ctx, "compute", at, "", &answer), "compute", at, func() Quotas { return Quotas{Limits: numbers(answer.Set)} })
}

// NetworkQuotas gives Neutron's: network, port, router, floatingip and so on.
func (i *Inventory) NetworkQuotas(ctx context.Context) (Quotas, error) {
	at, err := i.networkEndpoint()
	if err != nil {
		return Quotas{Unknown: err}, nil
	}
	var answer struct {
		Quota map[string]json.RawMessage `json:"quota"`
	}
	at += "quotas/" + url.PathEscape(i.session.projectID)
	return quotas(i.session.get(ctx, "network", at, "", &answer), "network", at, func() Quotas { return Quotas{Limits: numbers(answer.Quota)} })
}

// volumeWords are Cinder's words for limits and use, by those of its quotas.
var volumeWords = []struct{ quota, limit, used string }{
	{"volumes", "maxTotalVolumes", "totalVolumesUsed"}, {"gigabytes", "maxTotalVolumeGigabytes", "totalGigabytesUsed"}, {"snapshots", "maxTotalSnapshots", "totalSnapshotsUsed"},
	{"backups", "maxTotalBackups", "totalBackupsUsed"}, {"backup_gigabytes", "maxTotalBackupGigabytes", "totalBackupGigabytesUsed"},
}

// VolumeQuotas gives Cinder's, and how much is used: volumes, gigabytes, snapshots, backups, backup_gigabytes.
func (i *Inventory) VolumeQuotas(ctx context.Context) (Quotas, error) {
	at, err := i.volumeEndpoint()
	if err != nil {
		return Quotas{Unknown: err}, nil
	}
	var answer struct {
		Limits struct {
			Absolute map[string]json.RawMessage `json:"absolute"`
		} `json:"limits"`
	}
	at += "limits"
	return quotas(i.session.get(ctx, "volume", at, "", &answer), "volume", at, func() Quotas {
		all, q := numbers(answer.Limits.Absolute), Quotas{Limits: map[string]int64{}, Used: map[string]int64{}}
		for _, w := range volumeWords {
			if n, ok := all[w.limit]; ok {
				q.Limits[w.quota] = n
			}
			if n, ok := all[w.used]; ok {
				q.Used[w.quota] = n
			}
		}
		return q
	})
}

// quotas makes of an answer to a question for quotas what is to be said of them.
func quotas(err error, service, at string, read func() Quotas) (Quotas, error) {
	if errors.Is(err, ErrForbidden) || errors.Is(err, ErrNotFound) {
		return Quotas{Unknown: err}, nil
	}
	if err != nil {
		return Quotas{}, err
	}
	q := read()
	if len(q.Limits) == 0 {
		return Quotas{}, &Error{Kind: ErrBadAnswer, Service: service, Method: "GET", Path: pathOf(at), Message: "the answer has no quota"}
	}
	return q, nil
}

// numbers gives the values that are whole numbers.
func numbers(raw map[string]json.RawMessage) map[string]int64 {
	all := map[string]int64{}
	for key, value := range raw {
		var n *int64
		if len(key) <= longestKey && len(all) < mostTexts && json.Unmarshal(value, &n) == nil && n != nil {
			all[key] = *n
		}
	}
	return all
}

// networkEndpoint is Neutron's, with its version.
func (i *Inventory) networkEndpoint() (string, error) {
	c := i.session.cloud
	endpoint, err := i.session.endpoint("network", c.cfg.Region, c.cfg.Interface)
	if err == nil && !strings.HasSuffix(endpoint, "/v2.0/") {
		endpoint += "v2.0/"
	}
	return endpoint, err
}

// volumeEndpoint is Cinder's for the project, the newest that the catalog has. Its URL ends in the project's id, or in the
// version where Cinder has done without (Yoga).
func (i *Inventory) volumeEndpoint() (string, error) {
	var first error
	c := i.session.cloud
	for _, kind := range []string{"volumev3", "block-storage", "block-store", "volumev2", "volume"} {
		endpoint, err := i.session.endpoint(kind, c.cfg.Region, c.cfg.Interface)
		if err != nil {
			if first == nil {
				first = err
			}
			continue
		}
		if path := pathOf(endpoint); !strings.Contains(path, "/v2/") && !strings.Contains(path, "/v3/") {
			if strings.Contains(path, "/v1/") {
				continue // its API is another one
			}
			endpoint += "v3/" + url.PathEscape(i.session.projectID) + "/"
		}
		return endpoint, nil
	}
	return "", first
}
