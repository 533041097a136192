package apelserver

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// errCrash is a message on which the loader ends without a verdict (spec accounting §3.1).
var errCrash = errors.New("the loader ends with an exception")

// parseMessage reads a message of Cloud records as the server's parser does, with all its leniency.
func parseMessage(message []byte) ([]Row, error) {
	if !utf8.Valid(message) {
		return nil, errCrash
	}
	text := strings.TrimFunc(string(message), space)
	if text == "" {
		return nil, errCrash
	}
	lines := splitLines(text)
	kind, _, found := strings.Cut(lines[0], ":")
	if !found || strings.TrimFunc(kind, space) != "APEL-cloud-message" {
		return nil, fmt.Errorf("message type %q is not known", lines[0])
	}
	var rows []Row
	for _, part := range strings.Split(strings.Join(lines[1:], "\n"), "%%") {
		if strings.TrimFunc(part, space) == "" {
			continue
		}
		row, err := parseRecord(strings.TrimFunc(part, space))
		if err != nil {
			return nil, fmt.Errorf("record %d: %w", len(rows)+1, err)
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// space is what Python's strip takes away.
func space(r rune) bool { return unicode.IsSpace(r) || (r >= 0x1C && r <= 0x1F) }

var lineEnd = regexp.MustCompile(`\r\n|[\n\r\x0b\x0c\x1c\x1d\x1e\x{85}\x{2028}\x{2029}]`)

// splitLines splits at every line end of Unicode, as Python does.
func splitLines(text string) []string { return lineEnd.Split(text, -1) }

// known are the fields of a Cloud record: how each is read.
var known = map[string]func(*Row, *string) error{
	"VMUUID": text(func(r *Row) *string { return &r.VMUUID }), "SiteName": text(func(r *Row) *string { return &r.SiteName }),
	"CloudComputeService": text(func(r *Row) *string { return &r.Service }), "MachineName": text(func(r *Row) *string { return &r.MachineName }),
	"LocalUserId": text(func(r *Row) *string { return &r.LocalUserID }), "LocalGroupId": text(func(r *Row) *string { return &r.LocalGroupID }),
	"GlobalUserName": text(func(r *Row) *string { return &r.GlobalUserName }), "FQAN": text(func(r *Row) *string { return &r.FQAN }),
	"Status": text(func(r *Row) *string { return &r.Status }), "NetworkType": text(func(r *Row) *string { return &r.NetworkType }),
	"BenchmarkType": text(func(r *Row) *string { return &r.BenchmarkType }), "StorageRecordId": text(func(r *Row) *string { return &r.StorageRecordID }),
	"ImageId": text(func(r *Row) *string { return &r.ImageID }), "CloudType": text(func(r *Row) *string { return &r.CloudType }),
	"VO": text(func(*Row) *string { return new(string) }), "VOGroup": text(func(*Row) *string { return new(string) }), "VORole": text(func(*Row) *string { return new(string) }),
	"SuspendDuration": integer(func(r *Row) **int64 { return &r.Suspend }), "WallDuration": integer(func(r *Row) **int64 { return &r.Wall }),
	"CpuDuration": integer(func(r *Row) **int64 { return &r.CPU }), "NetworkInbound": integer(func(r *Row) **int64 { return &r.NetworkInbound }),
	"NetworkOutbound": integer(func(r *Row) **int64 { return &r.NetworkOutbound }), "PublicIPCount": integer(func(r *Row) **int64 { return &r.PublicIPs }),
	"Memory": integer(func(r *Row) **int64 { return &r.Memory }), "Disk": integer(func(r *Row) **int64 { return &r.Disk }),
	"CpuCount": decimal(func(r *Row) *float64 { return &r.CPUCount }), "Benchmark": decimal(func(r *Row) *float64 { return &r.Benchmark }),
	"StartTime": instant(func(r *Row) **int64 { return &r.StartTime }), "EndTime": instant(func(r *Row) **int64 { return &r.EndTime }),
	"RecordCreateTime": instant(func(r *Row) **int64 { return &r.RecordCreateTime }),
	"UpdateTime":       ignored, "MeasurementTime": ignored, "MeasurementMonth": ignored, "MeasurementYear": ignored,
}

func ignored(*Row, *string) error { return nil }

func text(at func(*Row) *string) func(*Row, *string) error {
	return func(r *Row, v *string) error {
		if v != nil {
			*at(r) = *v
		}
		return nil
	}
}

func integer(at func(*Row) **int64) func(*Row, *string) error {
	return func(r *Row, v *string) error {
		if v == nil {
			return nil
		}
		n, err := pythonInt(*v)
		*at(r) = &n
		return err
	}
}

func decimal(at func(*Row) *float64) func(*Row, *string) error {
	return func(r *Row, v *string) error {
		if v == nil {
			return nil
		}
		f, err := strconv.ParseFloat(strings.ReplaceAll(digits(*v), "_", ""), 64)
		if err != nil && !math.IsInf(f, 0) {
			return fmt.Errorf("%q is no number", *v)
		}
		*at(r) = f
		return nil
	}
}

func instant(at func(*Row) **int64) func(*Row, *string) error {
	return func(r *Row, v *string) error {
		if v == nil {
			return nil
		}
		n, err := pythonTime(*v)
		*at(r) = &n
		return err
	}
}

func parseRecord(part string) (Row, error) {
	values := map[string]string{}
	for _, line := range strings.Split(part, "\n") {
		key, value, ok := strings.Cut(line, ":")
		if !ok {
			return Row{}, fmt.Errorf("line %q has no colon", line)
		}
		values[strings.TrimFunc(key, space)] = strings.TrimFunc(value, space)
	}
	r := Row{}
	for key, value := range values {
		read, ok := known[key]
		if !ok {
			return Row{}, fmt.Errorf("field %q is not known", key)
		}
		given := &value
		switch strings.ToLower(value) {
		case "none", "null", "":
			given = nil
		}
		if given == nil && (key == "VMUUID" || key == "SiteName") {
			return Row{}, fmt.Errorf("%s is null", key)
		}
		if err := read(&r, given); err != nil {
			return Row{}, fmt.Errorf("%s: %w", key, err)
		}
	}
	for _, key := range []string{"VMUUID", "SiteName"} {
		if _, ok := values[key]; !ok {
			return Row{}, fmt.Errorf("%s is missing", key)
		}
	}
	r.VO, r.VOGroup, r.VORole = "None", "None", "None"
	if r.FQAN != "" {
		r.VO, r.VOGroup, r.VORole = splitFQAN(r.FQAN)
	}
	for _, p := range []*string{&r.Service, &r.MachineName, &r.LocalUserID, &r.LocalGroupID, &r.GlobalUserName, &r.FQAN, &r.Status, &r.NetworkType,
		&r.BenchmarkType, &r.StorageRecordID, &r.ImageID, &r.CloudType} {
		if *p == "" {
			*p = "None"
		}
	}
	return r, nil
}

// digits turns digits of any script into ASCII ones, as Python's int does.
func digits(s string) string {
	return strings.Map(func(r rune) rune {
		if r > 127 && unicode.Is(unicode.Nd, r) {
			zero := r
			for unicode.Is(unicode.Nd, zero-1) && r-zero < 9 {
				zero--
			}
			return '0' + (r-zero)%10
		}
		return r
	}, s)
}

var intForm = regexp.MustCompile(`^[+-]?[0-9]+(_[0-9]+)*$`)

func pythonInt(s string) (int64, error) {
	s = digits(s)
	if !intForm.MatchString(s) {
		return 0, fmt.Errorf("%q is no integer", s)
	}
	n, err := strconv.ParseInt(strings.ReplaceAll(s, "_", ""), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%q does not fit into the database", s)
	}
	return n, nil
}

var isoForm = regexp.MustCompile(`^(\d{4})-(\d{1,2})-(\d{1,2})T(\d{1,2}):(\d{1,2}):(\d{1,2})(Z|UTC|GMT)$`)

// pythonTime reads integer seconds, or ISO to the second ending in Z, UTC or GMT; the sixtieth second is the next minute's
// first.
func pythonTime(s string) (int64, error) {
	if m := isoForm.FindStringSubmatch(s); m != nil {
		var n [6]int
		for i := range n {
			n[i], _ = strconv.Atoi(m[i+1])
		}
		if n[1] < 1 || n[1] > 12 || n[2] < 1 || n[2] > time.Date(n[0], time.Month(n[1])+1, 0, 0, 0, 0, 0, time.UTC).Day() || n[3] > 23 || n[4] > 59 || n[5] > 61 {
			return 0, fmt.Errorf("%q is no time", s)
		}
		return time.Date(n[0], time.Month(n[1]), n[2], n[3], n[4], n[5], 0, time.UTC).Unix(), nil
	}
	n, err := pythonInt(s)
	if err != nil {
		return 0, fmt.Errorf("%q is no time", s)
	}
	if year := time.Unix(n, 0).UTC().Year(); n < -62135596800 || n > 253402300799 || year < 1 || year > 9999 {
		return 0, fmt.Errorf("time %d is beyond the calendar", n)
	}
	return n, nil
}

var rolePart = regexp.MustCompile(`(?i)^role=(.*)$`)

// splitFQAN gives VO, group and role of an FQAN; only what comes before the first semicolon counts.
func splitFQAN(fqan string) (vo, group, role string) {
	fqan, _, _ = strings.Cut(fqan, ";")
	if !strings.HasPrefix(fqan, "/") {
		return fqan, "None", "None"
	}
	var parts []string
	role = "None"
	for _, p := range strings.Split(fqan, "/") {
		if p == "" {
			continue
		}
		if rolePart.MatchString(p) {
			role = p
			break
		}
		parts = append(parts, p)
	}
	if len(parts) == 0 {
		return "", "", role
	}
	return parts[0], "/" + strings.Join(parts, "/"), role
}

// fit checks what the database takes, in strict mode: what does not fit rejects the whole message.
func (r *Row) fit() error {
	for name, v := range map[string]string{"VMUUID": r.VMUUID, "SiteName": r.SiteName, "CloudComputeService": r.Service, "MachineName": r.MachineName, "LocalUserId": r.LocalUserID,
		"LocalGroupId": r.LocalGroupID, "GlobalUserName": r.GlobalUserName, "FQAN": r.FQAN, "Status": r.Status, "NetworkType": r.NetworkType, "StorageRecordId": r.StorageRecordID,
		"ImageId": r.ImageID, "CloudType": r.CloudType, "VOGroup": r.VOGroup, "VORole": r.VORole, "VO": r.VO} {
		if utf8.RuneCountInString(v) > 255 {
			return fmt.Errorf("%s has more than 255 characters", name)
		}
	}
	if utf8.RuneCountInString(r.BenchmarkType) > 50 {
		return errors.New("BenchmarkType has more than 50 characters")
	}
	if r.PublicIPs != nil && (*r.PublicIPs > math.MaxInt32 || *r.PublicIPs < math.MinInt32) {
		return errors.New("PublicIPCount is out of range")
	}
	if !(r.CPUCount >= 0 && r.CPUCount < 9999999.9995) || !(math.Abs(r.Benchmark) < 9999999.9995) {
		return errors.New("CpuCount or Benchmark is out of range")
	}
	r.CPUCount, r.Benchmark = math.Round(r.CPUCount*1000)/1000, math.Round(r.Benchmark*1000)/1000
	if !strings.EqualFold(r.Status, "completed") && r.RecordCreateTime == nil && r.StartTime != nil {
		sum := float64(*r.StartTime)
		for _, p := range []*int64{r.Suspend, r.Wall} {
			if p != nil {
				sum += float64(*p)
			}
		}
		if sum > 253402300799 || sum < -62135596800 {
			return errors.New("start and durations go beyond the calendar")
		}
	}
	return nil
}
