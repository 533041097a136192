package information

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// PortalURL is where EGI's Operations Portal lists the VOs.
const PortalURL = "https://operations-portal.egi.eu/api/vo-list/json"

// Portal is the federation's list of VOs. It wants a key, which its users get from its page "API documentation".
type Portal struct {
	HTTP *http.Client // with time-outs and authorities
	URL  string       // "" = PortalURL
	Key  func(ctx context.Context) (string, error)
}

// mostPortal is how many bytes of the Portal's answer are read: today's list has about 300 VOs.
const mostPortal = 4 << 20

// VOs gives the names of all VOs, in order. An error holds nothing of the key.
func (p *Portal) VOs(ctx context.Context) ([]string, error) {
	where := p.URL
	if where == "" {
		where = PortalURL
	}
	if err := trusted(where); err != nil {
		return nil, err
	}
	key, err := p.Key(ctx)
	if err != nil {
		return nil, fmt.Errorf("key of the Operations Portal: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, where, nil)
	if err != nil {
		return nil, errors.New("the URL of the Operations Portal cannot be used")
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("X-API-Key", key)
	client := *p.HTTP
	// net/http takes such a header along to whatever host it is sent to
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	resp, err := client.Do(req)
	if err != nil {
		var ue *url.Error
		if errors.As(err, &ue) {
			err = ue.Err // without the URL
		}
		return nil, fmt.Errorf("the Operations Portal at %s: %w", req.URL.Host, err)
	}
	defer func() { _ = resp.Body.Close() }()
	switch {
	case resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusForbidden:
		return nil, fmt.Errorf("the Operations Portal at %s refuses the key (HTTP %d): get a new one at its page /api-documentation", req.URL.Host, resp.StatusCode)
	case resp.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("the Operations Portal at %s answered HTTP %d", req.URL.Host, resp.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, mostPortal+1))
	if err != nil {
		return nil, fmt.Errorf("the Operations Portal at %s: its answer was cut off: %w", req.URL.Host, err)
	}
	if len(body) > mostPortal {
		return nil, fmt.Errorf("the Operations Portal at %s answered with more than %d bytes", req.URL.Host, mostPortal)
	}
	return readVOs(body)
}

// trusted tells whether a key may be sent to a URL: only where nobody on the way can read it.
func trusted(where string) error {
	u, err := url.Parse(where)
	if err != nil || u.Host == "" {
		return errors.New("the URL of the Operations Portal cannot be used: write it as https://HOST/PATH")
	}
	ip, err := netip.ParseAddr(u.Hostname())
	if u.Scheme == "https" || u.Scheme == "http" && (u.Hostname() == "localhost" || err == nil && ip.IsLoopback()) {
		return nil
	}
	return fmt.Errorf("the URL of the Operations Portal at %s is not https: its key would be seen by others", u.Host)
}

// readVOs reads the Portal's list: {"data": [{"serial": 1, "name": "ops"}, …]}. An entry without a name is passed over.
func readVOs(body []byte) ([]string, error) {
	var list struct {
		Data *[]json.RawMessage `json:"data"`
	}
	if err := json.Unmarshal(body, &list); err != nil || list.Data == nil {
		return nil, errors.New(`the Operations Portal's answer is no list of VOs: it has no "data"`)
	}
	var names []string
	for _, entry := range *list.Data {
		var vo struct {
			Name string `json:"name"`
		}
		if err := json.Unmarshal(entry, &vo); err == nil && strings.TrimSpace(vo.Name) != "" {
			names = append(names, vo.Name)
		}
	}
	if len(names) == 0 {
		return nil, errors.New("the Operations Portal's list has no VO")
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// Discipline is a field of science, as the federation orders them. Parent is the ID of the wider one.
type Discipline struct {
	ID     string  `json:"id"`
	Name   string  `json:"name"`
	Parent *string `json:"parent"`
	Order  int     `json:"order"`
}

// ReadDisciplines reads a list of disciplines, at most 4 MiB, in the form in which the original has it beside its program:
// [{"id": "2", "name": "Mathematics", "parent": "1", "order": 1}, …].
func ReadDisciplines(r io.Reader) ([]Discipline, error) {
	body, err := io.ReadAll(io.LimitReader(r, mostPortal+1))
	if err != nil {
		return nil, fmt.Errorf("disciplines: %w", err)
	}
	if len(body) > mostPortal {
		return nil, fmt.Errorf("disciplines: more than %d bytes", mostPortal)
	}
	all := []Discipline{}
	if err := json.Unmarshal(body, &all); err != nil {
		return nil, fmt.Errorf("disciplines: %w", err)
	}
	for i, d := range all {
		if d.ID == "" || d.Name == "" {
			return nil, fmt.Errorf("disciplines: entry %d has no id or no name", i+1)
		}
	}
	return all, nil
}
