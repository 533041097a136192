package credential

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/fedsite/fedsite/internal/transport"
)

// Limits of a program.
const (
	execTimeout = 30 * time.Second // when none is said
	maxOutput   = 1 << 20          // bytes of its standard output
	maxStderr   = 64 << 10         // of its standard error that are looked at
	saidStderr  = 200              // and that an error says
)

// run runs the program in a process group of its own, which is ended with it. It is told what the credential is for by
// variables; none of ours are its own but the usual ones.
func (e *Exec) run(ctx context.Context, name string, use For, now func() time.Time) (got[fields], error) {
	timeout := e.Timeout
	if timeout <= 0 {
		timeout = execTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	doing := "run " + e.Command[0]
	fail := func(kind error, message, remedy string) (got[fields], error) {
		return got[fields]{}, &Error{Kind: kind, Name: name, Doing: doing, Message: message, Remedy: remedy}
	}
	cmd := exec.CommandContext(ctx, e.Command[0], e.Command[1:]...)
	out, errs := &limited{max: maxOutput, full: cancel}, &limited{max: maxStderr}
	cmd.Stdout, cmd.Stderr = out, errs
	cmd.Env = environment(name, use)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	kill := func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.Cancel = kill
	cmd.WaitDelay = 2 * time.Second // for a child that has left the group and holds the output
	err := cmd.Run()
	if cmd.Process != nil {
		_ = kill() // what it left behind
	}
	text := out.kept.Bytes()
	said := stderr(errs.kept.Bytes(), text)
	exit, _ := errors.AsType[*exec.ExitError](err)
	switch {
	case out.over:
		return fail(ErrConfiguration, fmt.Sprintf("it printed more than %d bytes", maxOutput), "it must print one JSON object")
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return fail(ErrUnavailable, fmt.Sprintf("it had not ended after %s%s", timeout, said), "see why it takes so long, or raise timeout")
	case ctx.Err() != nil:
		return fail(ErrUnavailable, "interrupted", "")
	case exit != nil:
		return fail(ErrRefused, fmt.Sprintf("%s%s", exit.ProcessState, said), "run it by hand, as fedsite's user: it must print JSON and end with 0")
	case err != nil && !errors.Is(err, exec.ErrWaitDelay):
		return got[fields]{}, &Error{Kind: ErrConfiguration, Name: name, Doing: doing, Cause: err, Remedy: "check exec.command: an absolute path, which fedsite's user may run"}
	}
	var data map[string]any
	if json.Unmarshal(text, &data) != nil || len(data) == 0 {
		return fail(ErrConfiguration, fmt.Sprintf("its output of %d bytes is no JSON object%s", len(text), said), `it must print {"username": …, "password": …}, {"application_credential_id": …, "application_credential_secret": …} or {"token": …, "expires_at": …}`)
	}
	f, err := fieldsOf(name, data, "")
	if err != nil {
		return got[fields]{}, err
	}
	life, err := f.until(now())
	if err != nil {
		return fail(ErrConfiguration, err.Error(), "")
	}
	return got[fields]{f, life}, nil
}

// environment is what the program finds in its environment.
func environment(name string, use For) []string {
	env := []string{"LC_ALL=C.UTF-8"}
	for _, key := range []string{"PATH", "HOME", "USER", "LOGNAME", "TMPDIR", "CREDENTIALS_DIRECTORY"} {
		if v, ok := os.LookupEnv(key); ok {
			env = append(env, key+"="+v)
		}
	}
	for key, v := range map[string]string{"FEDSITE_CREDENTIAL": name, "FEDSITE_SITE": use.Site, "FEDSITE_VO": use.VO, "FEDSITE_KEYSTONE_HOST": use.KeystoneHost} {
		if v != "" && !strings.Contains(v, "\x00") {
			env = append(env, key+"="+v)
		}
	}
	slices.Sort(env)
	return env
}

// limited keeps so much of what is written. It has no ReadFrom, which would go round its limit.
type limited struct {
	kept bytes.Buffer
	max  int
	full func() // called when there is more
	over bool
}

// Write keeps what there is room for.
func (l *limited) Write(p []byte) (int, error) {
	room := l.max - l.kept.Len()
	l.kept.Write(p[:min(len(p), room)])
	if len(p) > room {
		l.over = true
		if l.full != nil {
			l.full()
		}
	}
	return len(p), nil
}

// confession finds what a program says of a secret, as "password=…", "token: …" or "Bearer …".
var confession = regexp.MustCompile(`(?i)\b((?:[a-z_]*(?:password|passwd|passphrase|secret|token|credential|key)|bearer|basic|authorization)\b["']?)(\s*[:=]\s*|\s+(?:is\s+)?)(["']?[^\s"',;]{4,})`)

// unconfessed puts *** in the place of what a program confesses. After a mere blank it is a word of the sentence, unless it
// has a digit in it or is as long as secrets are.
func unconfessed(text string) string {
	return confession.ReplaceAllStringFunc(text, func(found string) string {
		p := confession.FindStringSubmatch(found)
		if strings.TrimSpace(p[2]) == "" && !strings.EqualFold(p[1], "bearer") && !strings.EqualFold(p[1], "basic") && len(p[3]) < 16 && !strings.ContainsAny(p[3], "0123456789") {
			return found
		}
		return p[1] + p[2] + transport.Hidden
	})
}

// long finds words that are as long as secrets are, and no words of a sentence or paths.
var long = regexp.MustCompile(`[A-Za-z0-9+=_.~-]{24,}`)

// stderr is what an error says of a program's standard error: a little, and nothing that could be a secret.
func stderr(text, stdout []byte) string {
	said := transport.Redact(string(text), wordsOf(stdout)...)
	said = unconfessed(said)
	said = long.ReplaceAllString(said, transport.Hidden)
	said = quoted(said, saidStderr)
	if said == "" {
		return ""
	}
	return ": " + said
}

// wordsOf gives all values of a JSON document, or of anything else its words.
func wordsOf(text []byte) []string {
	var (
		all  []string
		data any
	)
	var walk func(any)
	walk = func(v any) {
		switch v := v.(type) {
		case string:
			all = append(all, v)
		case map[string]any:
			for _, x := range v {
				walk(x)
			}
		case []any:
			for _, x := range v {
				walk(x)
			}
		}
	}
	if json.Unmarshal(text, &data) == nil {
		walk(data)
		return all
	}
	words := strings.FieldsFunc(string(text[:min(len(text), maxStderr)]), func(r rune) bool { return strings.ContainsRune(" \t\r\n\"',:={}[]", r) })
	return words[:min(len(words), 200)]
}
