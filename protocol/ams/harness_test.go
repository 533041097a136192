package ams

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const token = "t0ken-that-must-not-show"

// server stands for the other end: one answer, and the request as it came.
type server struct {
	status int
	header http.Header
	body   string
	err    error // instead of an answer
	cut    bool  // the body ends in an error

	request *http.Request
	sent    string
}

func (s *server) RoundTrip(r *http.Request) (*http.Response, error) {
	data, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	s.request, s.sent = r, string(data)
	if s.err != nil {
		return nil, s.err
	}
	var body io.Reader = strings.NewReader(s.body)
	if s.cut {
		body = io.MultiReader(body, broken{})
	}
	return &http.Response{StatusCode: s.status, Header: s.header, Body: io.NopCloser(body), Request: r}, nil
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func (s *server) client() *Client {
	return &Client{HTTP: &http.Client{Transport: s}, Host: "msg.example.org", Project: "accounting"}
}

// recorded gives the answer of a recording, found by its number.
func recorded(t *testing.T, number string) *server {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", number+"-*.http"))
	if err != nil || len(files) != 1 {
		t.Fatalf("recordings of %s: %v, %v", number, files, err)
	}
	data, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	_, answer, ok := bytes.Cut(data, []byte("<<<< response\n"))
	if !ok {
		t.Fatalf("%s has no answer", files[0])
	}
	answer, _, _ = bytes.Cut(answer, []byte("\n#### "))
	head, body, _ := bytes.Cut(answer, []byte("\n\n"))
	head = append(bytes.ReplaceAll(head, []byte("\n"), []byte("\r\n")), "\r\n\r\n"...)
	res, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(head)), nil)
	if err != nil {
		t.Fatalf("%s: %v", files[0], err)
	}
	_ = res.Body.Close()
	return &server{status: res.StatusCode, header: res.Header, body: string(body)}
}

// failed gives the error of a call as what it must be.
func failed(t *testing.T, err error) *Error {
	t.Helper()
	e, ok := errors.AsType[*Error](err)
	if !ok {
		t.Fatalf("%v (%T), want an *Error", err, err)
	}
	if strings.Contains(err.Error()+e.Hint(), token) {
		t.Errorf("the token is in the error: %v", err)
	}
	return e
}
