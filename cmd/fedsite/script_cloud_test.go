package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/fedsite/fedsite/internal/config"
	"github.com/fedsite/fedsite/internal/emulator/faults"
	"github.com/fedsite/fedsite/internal/emulator/world"
)

// cloud does something with the emulated cloud: "cloud fails STATUS [SERVICE]" lets all that is asked fail, or all of one
// service; "cloud works" ends that; "cloud retires FLAVOR" takes a flavor away, by its id; "cloud refuses PROJECT" lets nobody
// sign in to a project, by its name; "cloud rests DURATION" declares a downtime in GOCDB.
func cloud(ts *testscript.TestScript, neg bool, args []string) {
	d := ts.Value(emulated{}).(*emulated)
	switch {
	case !neg && len(args) > 1 && args[0] == "fails":
		status, err := strconv.Atoi(args[1])
		ts.Check(err)
		f := faults.Fault{Times: -1, Effect: faults.Effect{Status: status}}
		if len(args) > 2 {
			f.Service = args[2]
		}
		d.Disturb(f)
	case !neg && len(args) == 1 && args[0] == "works":
		d.Calm()
	case !neg && len(args) == 2 && args[0] == "retires":
		d.World.DeleteFlavor(args[1], d.At.Add(-time.Second))
	case !neg && len(args) == 2 && args[0] == "refuses":
		i := slices.IndexFunc(d.World.Projects, func(p world.Project) bool { return p.Name == args[1] })
		if i < 0 {
			ts.Fatalf("the cloud has no project %s", args[1])
		}
		d.Disturb(faults.Fault{Service: "identity", Method: http.MethodPost, Times: -1, Fits: ofProject(d.World.Projects[i].ID), Effect: faults.Effect{Status: http.StatusUnauthorized}})
	case !neg && len(args) == 2 && args[0] == "rests":
		long, err := time.ParseDuration(args[1])
		ts.Check(err)
		now := time.Now().Add(d.Ahead())
		d.Federation.Downtime("DEMO-SITE", true, now.Add(-time.Minute), now.Add(long), "new switches")
	default:
		ts.Fatalf("usage: cloud fails STATUS [SERVICE], cloud works, cloud retires FLAVOR, cloud refuses PROJECT, cloud rests DURATION")
	}
}

// ofProject tells whether a request asks for a token of a project.
func ofProject(id string) func(*http.Request) bool {
	return func(r *http.Request) bool {
		body, err := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		return err == nil && strings.Contains(string(body), id)
	}
}

// documents puts the addresses of the demo's servers of documents into the script's environment: API and LDAP.
func documents(ts *testscript.TestScript, sites []config.Site) {
	for _, s := range sites {
		for _, sink := range s.Discovery.Publish {
			switch {
			case sink.API != nil:
				ts.Setenv("API", sink.API.Listen)
			case sink.LDAP != nil:
				ts.Setenv("LDAP", sink.LDAP.Listen)
			}
		}
	}
}

// busy takes an address for the rest of the script, so that nobody else can listen there: "busy ADDRESS". "! busy" frees it.
func busy(ts *testscript.TestScript, neg bool, args []string) {
	e := ts.Value(emulated{}).(*emulated)
	switch {
	case neg && len(args) == 0 && e.taken != nil:
		ts.Check(e.taken.Close())
		e.taken = nil
	case !neg && len(args) == 1 && e.taken == nil:
		l, err := net.Listen("tcp", args[0])
		ts.Check(err)
		e.taken = l
		ts.Defer(func() {
			if e.taken != nil {
				ts.Check(e.taken.Close())
			}
		})
	default:
		ts.Fatalf("usage: busy ADDRESS, ! busy")
	}
}

// ask asks a server over HTTP: "ask URL [HEADER VALUE]", and prints status, headers and body; a path alone is of the pages of
// the script's service. "! ask URL" is when nobody answers.
func ask(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 1 && len(args) != 3 {
		ts.Fatalf("usage: ask URL [HEADER VALUE]")
	}
	text, err := answer(ts, args...)
	if neg {
		if err == nil {
			ts.Fatalf("%s answers %s", args[0], text)
		}
		return
	}
	ts.Check(err)
	_, err = io.WriteString(ts.Stdout(), text)
	ts.Check(err)
}

// answer gives what ask prints.
func answer(ts *testscript.TestScript, args ...string) (string, error) {
	at := args[0]
	if e := ts.Value(emulated{}).(*emulated); strings.HasPrefix(at, "/") && e.unit != nil {
		if all := shows.FindAllStringSubmatch(e.unit.Said(), -1); len(all) > 0 {
			at = "http://" + all[len(all)-1][1] + at
		}
	}
	r, err := http.NewRequest(http.MethodGet, at, http.NoBody)
	if err != nil {
		return "", err
	}
	if len(args) == 3 {
		r.Header.Set(args[1], args[2])
	}
	client := http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(r)
	if err != nil {
		return "", err
	}
	defer response.Body.Close() //nolint:errcheck // it was read
	var b bytes.Buffer
	fmt.Fprintln(&b, response.Status)
	err = response.Header.Write(&b)
	b.WriteByte('\n')
	if _, rerr := io.Copy(&b, response.Body); err == nil {
		err = rerr
	}
	return b.String(), err
}
