package web

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// colours gives the custom properties of each :root of the style sheet, in order: light, dark, print. Later ones change
// the first.
func colours(t *testing.T) []map[string]string {
	t.Helper()
	var all []map[string]string
	property := regexp.MustCompile(`--([a-z-]+): (#[0-9a-f]{6});`)
	for i, root := range regexp.MustCompile(`(?s):root \{.*?\}`).FindAllString(string(styleSheet), -1) {
		set := map[string]string{}
		if i > 0 {
			for k, v := range all[0] {
				set[k] = v
			}
		}
		for _, m := range property.FindAllStringSubmatch(root, -1) {
			set[m[1]] = m[2]
		}
		all = append(all, set)
	}
	if len(all) != 3 || len(all[0]) < 19 {
		t.Fatalf("%d sets of colours: %v", len(all), all)
	}
	return all
}

// luminance is WCAG's relative luminance.
func luminance(t *testing.T, colour string) float64 {
	t.Helper()
	sum := 0.0
	for i, weight := range []float64{0.2126, 0.7152, 0.0722} {
		n, err := strconv.ParseUint(colour[1+2*i:3+2*i], 16, 8)
		if err != nil {
			t.Fatal(err)
		}
		c := float64(n) / 255
		if c <= 0.04045 {
			c /= 12.92
		} else {
			c = math.Pow((c+0.055)/1.055, 2.4)
		}
		sum += weight * c
	}
	return sum
}

func contrast(t *testing.T, a, b string) float64 {
	t.Helper()
	x, y := luminance(t, a), luminance(t, b)
	return (max(x, y) + 0.05) / (min(x, y) + 0.05)
}

// TestContrast: in light, dark and print every text has 4.5 to 1 against whatever it stands on, and edges that mean
// something 3 to 1 (WCAG 2.2 AA, 1.4.3 and 1.4.11).
func TestContrast(t *testing.T) {
	if got := fmt.Sprintf("%.2f %.2f", contrast(t, "#000000", "#ffffff"), contrast(t, "#777777", "#ffffff")); got != "21.00 4.48" {
		t.Fatalf("the formula gives %s", got)
	}
	states := []string{"ok", "warn", "fail", "off", "unknown", "run"}
	for i, set := range colours(t) {
		mode := []string{"light", "dark", "print"}[i]
		least := func(ratio float64, front, back string) {
			if got := contrast(t, set[front], set[back]); got < ratio {
				t.Errorf("%s: %s on %s has %.2f, needs %.1f", mode, front, back, got, ratio)
			}
		}
		for _, back := range []string{"back", "raised"} {
			for _, front := range []string{"text", "soft", "link"} {
				least(4.5, front, back)
			}
			for _, edge := range append(states, "edge", "link") {
				least(3, edge, back)
			}
		}
		for _, s := range states {
			least(4.5, s, s+"-back")
			least(4.5, "text", s+"-back")
		}
	}
}

// TestColoursAreNamed: the style sheet has no colour beside the properties that TestContrast looks at.
func TestColoursAreNamed(t *testing.T) {
	rest := regexp.MustCompile(`(?s):root \{.*?\}`).ReplaceAllString(string(styleSheet), "")
	if found := regexp.MustCompile(`#[0-9a-fA-F]{3,8}\b|rgba?\(|hsla?\(`).FindAllString(rest, -1); len(found) > 0 {
		t.Errorf("colours without a name: %v", found)
	}
	for _, m := range regexp.MustCompile(`var\(--([a-z-]+)\)`).FindAllStringSubmatch(rest, -1) {
		if colours(t)[0][m[1]] == "" {
			t.Errorf("%s is not defined", m[1])
		}
	}
	if strings.Contains(rest, "url(") || strings.Contains(rest, "@import") {
		t.Error("the style sheet asks for something from elsewhere")
	}
}
