package web

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// fields gives the names that a type has in JSON, and those of what is in it.
func fields(of reflect.Type, into map[string]bool, seen map[reflect.Type]bool) {
	switch of.Kind() {
	case reflect.Pointer, reflect.Slice:
		fields(of.Elem(), into, seen)
	case reflect.Struct:
		if of == reflect.TypeFor[time.Time]() || seen[of] {
			return
		}
		seen[of] = true
		for i := range of.NumField() {
			name, _, _ := strings.Cut(of.Field(i).Tag.Get("json"), ",")
			into[name] = true
			fields(of.Field(i).Type, into, seen)
		}
	}
}

// TestReference: docs/reference/http.md names each field of the JSON, each address and each constant answer.
func TestReference(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "reference", "http.md"))
	if err != nil {
		t.Fatal(err)
	}
	names, seen := map[string]bool{}, map[reflect.Type]bool{}
	for _, of := range []reflect.Type{reflect.TypeFor[Overview](), reflect.TypeFor[TaskList](), reflect.TypeFor[TaskPage](), reflect.TypeFor[RunPage]()} {
		fields(of, names, seen)
	}
	if len(names) < 40 || names[""] {
		t.Fatalf("%d fields, one without a name: %v", len(names), names[""])
	}
	for _, word := range []string{"/healthz", "/readyz", "/metrics", string(NoDatabase), string(NoConfiguration), string(Stopping),
		string(OK), string(Warn), string(Fail), string(Off), string(InDowntime), string(Unknown), string(Skip)} {
		names[word] = true
	}
	for name := range names {
		if !strings.Contains(string(text), "`"+name+"`") {
			t.Errorf("docs/reference/http.md does not name %s", name)
		}
	}
}
