// Package apel holds the accounting records of the federation as they travel: the Cloud usage record v0.4, what the
// accounting server accepts of it, and its text.
package apel

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// CloudHeader is the first line of a message of Cloud usage records.
const CloudHeader = "APEL-cloud-message: v0.4"

// StatusCompleted is the only status with a meaning to the server: the record is measured at its EndTime (spec
// accounting §3.3).
const StatusCompleted = "completed"

// CloudRecord is a Cloud usage record v0.4. Times are unix seconds, durations seconds. RecordCreateTime cannot be
// written on purpose: the server would date the record by it. An empty text and a nil pointer leave their field out.
type CloudRecord struct {
	VMUUID              string // mandatory
	SiteName            string // mandatory
	CloudComputeService string
	MachineName         string
	LocalUserID         string
	LocalGroupID        string
	GlobalUserName      string
	FQAN                string
	Status              string
	StartTime           int64
	EndTime             int64 // 0 = still running
	SuspendDuration     int64
	WallDuration        int64
	CPUDuration         int64
	CPUCount            float64
	NetworkType         string
	NetworkInbound      *int64 // GB
	NetworkOutbound     *int64 // GB
	PublicIPCount       int64
	Memory              int64 // MB
	Disk                int64 // GB
	BenchmarkType       string
	Benchmark           *float64
	StorageRecordID     string
	ImageID             string
	CloudType           string
}

// Measured is the instant at which the server dates the record: EndTime when the status is completed, else StartTime +
// SuspendDuration + WallDuration (spec accounting §3.3).
func (r CloudRecord) Measured() int64 {
	if strings.EqualFold(r.Status, StatusCompleted) {
		return r.EndTime
	}
	return r.StartTime + r.SuspendDuration + r.WallDuration
}

// Period is the UTC month, "2024-03", in which the server keeps the record.
func (r CloudRecord) Period() string { return time.Unix(r.Measured(), 0).UTC().Format("2006-01") }

// Limits of the server's database (spec accounting §3.2).
const (
	maxText      = 255
	maxBenchmark = 50
	maxDecimal   = 9999999.9995
)

// Validate tells why the server would not take the record, so that one bad record does not spoil a message.
func (r CloudRecord) Validate() error {
	var errs []error
	for _, f := range []struct{ name, value string }{{"VMUUID", r.VMUUID}, {"SiteName", r.SiteName}} {
		switch strings.ToLower(strings.TrimSpace(f.value)) {
		case "", "none", "null":
			errs = append(errs, fmt.Errorf("%s is %q, which the server takes for nothing", f.name, f.value))
		}
	}
	for _, f := range []struct{ name, value string }{{"VMUUID", r.VMUUID}, {"SiteName", r.SiteName}} {
		if Escape(f.value) != f.value {
			errs = append(errs, fmt.Errorf("%s %q does not travel unchanged", f.name, f.value))
		}
	}
	if n := len(Escape(r.BenchmarkType)); n > maxBenchmark {
		errs = append(errs, fmt.Errorf("BenchmarkType has %d characters on the wire, the server takes %d", n, maxBenchmark))
	}
	if !(r.CPUCount >= 0 && r.CPUCount < maxDecimal) {
		errs = append(errs, fmt.Errorf("CpuCount %v is out of range", r.CPUCount))
	}
	if r.Benchmark != nil && !(math.Abs(*r.Benchmark) < maxDecimal) {
		//lint:ignore ST1005 it is the name of a field
		errs = append(errs, fmt.Errorf("Benchmark %v is out of range", *r.Benchmark))
	}
	if r.PublicIPCount < math.MinInt32 || r.PublicIPCount > math.MaxInt32 {
		errs = append(errs, fmt.Errorf("PublicIPCount %d is out of range", r.PublicIPCount))
	}
	for _, f := range []struct {
		name  string
		value int64
		most  int64
	}{{"SuspendDuration", r.SuspendDuration, lastSecond}, {"WallDuration", r.WallDuration, lastSecond}, {"CpuDuration", r.CPUDuration, math.MaxInt64},
		{"Memory", r.Memory, math.MaxInt64}, {"Disk", r.Disk, math.MaxInt64}} {
		if f.value < 0 || f.value > f.most {
			errs = append(errs, fmt.Errorf("%s is out of range: %d", f.name, f.value))
		}
	}
	if strings.EqualFold(r.Status, StatusCompleted) != (r.EndTime != 0) {
		errs = append(errs, fmt.Errorf("status %q with EndTime %d: completed and only completed has an end", r.Status, r.EndTime))
	}
	for _, at := range []int64{r.StartTime, r.EndTime, r.StartTime + r.SuspendDuration + r.WallDuration} {
		if at < 0 || at > lastSecond {
			errs = append(errs, fmt.Errorf("time %d is beyond what the server takes", at))
		}
	}
	return errors.Join(errs...)
}

// lastSecond is 9999-12-31T23:59:59Z.
const lastSecond = 253402300799

const hexDigits = "0123456789ABCDEF"

// Escape makes a tenant's text fit for the wire: bytes outside 0x20–0x7E, and %, become %XX; so do a blank at either end,
// which the server would trim, and the first letter of its words for nothing ("none", "null"). It is cut at 255 bytes,
// never inside an escape, and no "%%", which would split the record, can arise (design §7).
func Escape(text string) string {
	trimmed := len(strings.TrimRight(text, " "))
	nothing := strings.EqualFold(text, "none") || strings.EqualFold(text, "null")
	var b strings.Builder
	for i := range len(text) {
		c := text[i]
		plain := c >= 0x20 && c <= 0x7E && c != '%' && !(c == ' ' && (b.Len() == 0 || i >= trimmed)) && !(nothing && i == 0)
		size := 1
		if !plain {
			size = 3
		}
		if b.Len()+size > maxText {
			break
		}
		if plain {
			b.WriteByte(c)
		} else {
			b.Write([]byte{'%', hexDigits[c>>4], hexDigits[c&15]})
		}
	}
	return strings.TrimRight(b.String(), " ")
}

// Unescape gives the text that Escape was given, as far as it was not cut; anything else it leaves as it is.
func Unescape(wire string) string {
	var b strings.Builder
	for i := 0; i < len(wire); i++ {
		if wire[i] == '%' && i+2 < len(wire) {
			if n, err := strconv.ParseUint(wire[i+1:i+3], 16, 8); err == nil {
				b.WriteByte(byte(n))
				i += 2
				continue
			}
		}
		b.WriteByte(wire[i])
	}
	return b.String()
}

// field is one line of a record.
type field struct {
	name string
	text *string
	num  *int64   // 0 is written
	opt  **int64  // nil is left out
	dec  *float64 // 0 is written
	odec **float64
}

// fields gives the record's lines in the order of the wire, which is that of ASCII.
func (r *CloudRecord) fields() []field {
	return []field{
		{name: "Benchmark", odec: &r.Benchmark},
		{name: "BenchmarkType", text: &r.BenchmarkType},
		{name: "CloudComputeService", text: &r.CloudComputeService},
		{name: "CloudType", text: &r.CloudType},
		{name: "CpuCount", dec: &r.CPUCount},
		{name: "CpuDuration", num: &r.CPUDuration},
		{name: "Disk", num: &r.Disk},
		{name: "EndTime", num: &r.EndTime},
		{name: "FQAN", text: &r.FQAN},
		{name: "GlobalUserName", text: &r.GlobalUserName},
		{name: "ImageId", text: &r.ImageID},
		{name: "LocalGroupId", text: &r.LocalGroupID},
		{name: "LocalUserId", text: &r.LocalUserID},
		{name: "MachineName", text: &r.MachineName},
		{name: "Memory", num: &r.Memory},
		{name: "NetworkInbound", opt: &r.NetworkInbound},
		{name: "NetworkOutbound", opt: &r.NetworkOutbound},
		{name: "NetworkType", text: &r.NetworkType},
		{name: "PublicIPCount", num: &r.PublicIPCount},
		{name: "SiteName", text: &r.SiteName},
		{name: "StartTime", num: &r.StartTime},
		{name: "Status", text: &r.Status},
		{name: "StorageRecordId", text: &r.StorageRecordID},
		{name: "SuspendDuration", num: &r.SuspendDuration},
		{name: "VMUUID", text: &r.VMUUID},
		{name: "WallDuration", num: &r.WallDuration},
	}
}

// EncodeCloudRecord gives the lines of one record, each ending in a newline, without the message's header; a record that
// the server would refuse is an error.
func EncodeCloudRecord(r CloudRecord) ([]byte, error) {
	if err := r.Validate(); err != nil {
		return nil, err
	}
	b := make([]byte, 0, 1024)
	for _, f := range r.fields() {
		var value string
		switch {
		case f.text != nil:
			value = Escape(*f.text)
		case f.num != nil:
			value = strconv.FormatInt(*f.num, 10)
		case f.opt != nil && *f.opt != nil:
			value = strconv.FormatInt(**f.opt, 10)
		case f.dec != nil:
			value = decimal(*f.dec)
		case f.odec != nil && *f.odec != nil:
			value = decimal(**f.odec)
		}
		if value == "" || (f.name == "SuspendDuration" && value == "0") {
			continue
		}
		b = append(append(append(append(b, f.name...), ": "...), value...), '\n')
	}
	return b, nil
}

// decimal writes a number with at most the three places that the server keeps; 0 has no sign.
func decimal(v float64) string {
	return strconv.FormatFloat(math.Round(v*1000)/1000+0, 'f', -1, 64)
}

const separator = "%%\n"

// EncodeCloud gives the text of a message: header, records with "%%" between them, one newline at the end.
func EncodeCloud(records []CloudRecord) ([]byte, error) {
	bodies := make([]string, len(records))
	for i, r := range records {
		body, err := EncodeCloudRecord(r)
		if err != nil {
			return nil, fmt.Errorf("record %d (VM %s): %w", i+1, r.VMUUID, err)
		}
		bodies[i] = string(body)
	}
	return JoinCloud(bodies), nil
}

// JoinCloud makes a message of encoded records.
func JoinCloud(bodies []string) []byte {
	return []byte(CloudHeader + "\n" + strings.Join(bodies, separator))
}

// SplitCloud gives the encoded records of a message made by JoinCloud.
func SplitCloud(message []byte) []string {
	text, ok := strings.CutPrefix(string(message), CloudHeader+"\n")
	if !ok || text == "" {
		return nil
	}
	return strings.Split(text, separator)
}

// ParseCloud reads a message of Cloud records as EncodeCloud writes it. Fields that we never write, repeated ones and
// lines of another form are errors: it reads our own messages back, and is no model of the server. Escapes are undone.
func ParseCloud(message []byte) ([]CloudRecord, error) {
	if !strings.HasPrefix(string(message), CloudHeader+"\n") {
		return nil, fmt.Errorf("no message of Cloud records: the first line is not %q", CloudHeader)
	}
	var records []CloudRecord
	for i, body := range SplitCloud(message) {
		r, err := parseCloudRecord(body)
		if err != nil {
			return nil, fmt.Errorf("record %d: %w", i+1, err)
		}
		records = append(records, r)
	}
	return records, nil
}

func parseCloudRecord(body string) (CloudRecord, error) {
	var r CloudRecord
	fields := r.fields()
	seen := map[string]bool{}
	for line := range strings.Lines(body) {
		name, value, ok := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		i := slices.IndexFunc(fields, func(f field) bool { return f.name == name })
		if !ok || i < 0 || seen[name] {
			return CloudRecord{}, fmt.Errorf("line %q is not of a record", line)
		}
		seen[name] = true
		if err := fields[i].set(value); err != nil {
			return CloudRecord{}, fmt.Errorf("%s: %w", name, err)
		}
	}
	if r.VMUUID == "" {
		return CloudRecord{}, errors.New("no VMUUID")
	}
	return r, nil
}

func (f field) set(value string) error {
	if f.text != nil {
		*f.text = Unescape(value)
		return nil
	}
	if f.num != nil || f.opt != nil {
		n, err := strconv.ParseInt(value, 10, 64)
		if f.num != nil {
			*f.num = n
		} else {
			*f.opt = &n
		}
		return err
	}
	v, err := strconv.ParseFloat(value, 64)
	if f.dec != nil {
		*f.dec = v
	} else {
		*f.odec = &v
	}
	return err
}
