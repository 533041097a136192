//go:build browser

package browser

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fedsite/fedsite/internal/prerequisite"
)

// tab is a page of a running browser. Its methods are called one after the other.
type tab struct {
	t       testing.TB
	session string
	to      *os.File
	next    int

	mu      sync.Mutex
	answers chan message
	loaded  chan bool
	heard   []string // what the page did that it should not: dialogs, errors, refused loads
}

// message is one of the protocol, in either direction.
type message struct {
	ID        int             `json:"id,omitempty"`
	Method    string          `json:"method,omitempty"`
	Params    json.RawMessage `json:"params,omitempty"`
	SessionID string          `json:"sessionId,omitempty"`
	Result    json.RawMessage `json:"result,omitempty"`
	Error     *struct {
		Message string `json:"message"`
	} `json:"error,omitempty"`
}

// open starts a browser with one empty tab. It ends with the test.
func open(t testing.TB) *tab {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		prerequisite.Missing(t, "chromium", "install Debian's packages chromium and fonts-dejavu-core")
	}
	theirs, to, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	from, theirEnd, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, "--headless", "--remote-debugging-pipe", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars",
		"--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--user-data-dir="+t.TempDir())
	cmd.ExtraFiles = []*os.File{theirs, theirEnd} // its 3 and 4
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_, _ = theirs.Close(), theirEnd.Close()
	b := &tab{t: t, to: to, answers: make(chan message, 1), loaded: make(chan bool, 16)}
	read := make(chan bool)
	go func() {
		defer close(read)
		b.read(bufio.NewReaderSize(from, 1<<20))
	}()
	t.Cleanup(func() {
		b.session = ""
		b.send("Browser.close", nil)
		_ = to.Close()
		end := time.AfterFunc(10*time.Second, func() { _ = cmd.Process.Kill() })
		_ = cmd.Wait()
		end.Stop()
		_ = from.Close()
		<-read
	})
	var target struct{ TargetID, SessionID string }
	b.ask("Target.createTarget", map[string]any{"url": "about:blank"}, &target)
	b.ask("Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &target)
	b.session = target.SessionID
	for _, what := range []string{"Page", "Log", "Runtime"} {
		b.ask(what+".enable", nil, nil)
	}
	return b
}

func (b *tab) read(from *bufio.Reader) {
	for {
		text, err := from.ReadBytes(0)
		if err != nil {
			close(b.answers)
			return
		}
		var m message
		if err := json.Unmarshal(text[:len(text)-1], &m); err != nil {
			continue
		}
		switch {
		case m.ID != 0:
			b.answers <- m
		case m.Method == "Page.loadEventFired":
			b.loaded <- true
		case m.Method == "Page.javascriptDialogOpening", m.Method == "Runtime.exceptionThrown", m.Method == "Runtime.consoleAPICalled", m.Method == "Log.entryAdded":
			b.mu.Lock()
			b.heard = append(b.heard, m.Method+": "+string(m.Params))
			b.mu.Unlock()
		}
	}
}

func (b *tab) send(method string, params any) int {
	b.next++
	text, err := json.Marshal(params)
	if err != nil {
		b.t.Fatal(err)
	}
	if params == nil {
		text = []byte("{}")
	}
	text, err = json.Marshal(message{ID: b.next, Method: method, Params: text, SessionID: b.session})
	if err == nil {
		_, err = b.to.Write(append(text, 0))
	}
	if err != nil {
		b.t.Logf("%s: %v", method, err)
	}
	return b.next
}

// ask sends a command and waits for its answer.
func (b *tab) ask(method string, params, result any) {
	b.t.Helper()
	id := b.send(method, params)
	late := time.After(time.Minute)
	for {
		select {
		case m, open := <-b.answers:
			if !open {
				b.t.Fatalf("%s: the browser is gone", method)
			}
			if m.ID != id {
				continue
			}
			if m.Error != nil {
				b.t.Fatalf("%s: %s", method, m.Error.Message)
			}
			if result != nil {
				if err := json.Unmarshal(m.Result, result); err != nil {
					b.t.Fatalf("%s: %v", method, err)
				}
			}
			return
		case <-late:
			b.t.Fatalf("%s: no answer", method)
		}
	}
}

// size makes the tab so wide and high, narrow ones like a phone; in light, dark, or as it is printed.
func (b *tab) size(width, height int, scheme string) {
	b.t.Helper()
	b.ask("Emulation.setDeviceMetricsOverride", map[string]any{"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}, nil)
	media := "screen"
	if scheme == "print" {
		media, scheme = "print", "light"
	}
	b.ask("Emulation.setEmulatedMedia", map[string]any{"media": media, "features": []map[string]string{{"name": "prefers-color-scheme", "value": scheme}}}, nil)
}

// visit loads an address, and gives what the page did that it should not.
func (b *tab) visit(address string) []string {
	b.t.Helper()
	b.mu.Lock()
	b.heard = nil
	b.mu.Unlock()
	for len(b.loaded) > 0 {
		<-b.loaded
	}
	b.ask("Page.navigate", map[string]any{"url": address}, nil)
	select {
	case <-b.loaded:
	case <-time.After(time.Minute):
		b.t.Fatalf("%s was not loaded", address)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.heard
}

// eval gives the value of an expression in the page.
func (b *tab) eval(script string, into any) {
	b.t.Helper()
	var answer struct {
		Result           struct{ Value json.RawMessage }
		ExceptionDetails json.RawMessage
	}
	b.ask("Runtime.evaluate", map[string]any{"expression": script, "returnByValue": true}, &answer)
	if answer.ExceptionDetails != nil {
		b.t.Fatalf("%s", answer.ExceptionDetails)
	}
	if err := json.Unmarshal(answer.Result.Value, into); err != nil {
		b.t.Fatalf("%v: %s", err, answer.Result.Value)
	}
}

// shoot writes a picture of the page, down to most lines.
func (b *tab) shoot(file string, most int) {
	b.t.Helper()
	var size []int
	b.eval(`[innerWidth, document.documentElement.scrollHeight]`, &size)
	var picture struct{ Data string }
	b.ask("Page.captureScreenshot", map[string]any{"captureBeyondViewport": true,
		"clip": map[string]any{"x": 0, "y": 0, "width": size[0], "height": min(size[1], most), "scale": 1}}, &picture)
	data, err := base64.NewDecoder(base64.StdEncoding, strings.NewReader(picture.Data)), error(nil)
	f, err := os.Create(file)
	if err == nil {
		_, err = bufio.NewReader(data).WriteTo(f)
	}
	if err != nil {
		b.t.Fatal(fmt.Errorf("picture: %w", err))
	}
	_ = f.Close()
}
