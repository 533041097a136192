package accounting_test

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	emulated "github.com/fedsite/fedsite/internal/emulator/openstack"
)

var eraFlag = flag.String("era", "", "the release that the emulated cloud is of: current, zed or mitaka; without it the tests run in each, with -short in current")

// era is what the clouds of the tests that run now can do.
var era = emulated.Current

// once is what runs in one era only: it asks no cloud, chooses the eras itself, or repeats what others do.
const once = "^Test(Oracle|Destination|AMS|Dirq|BrokerTroubles|Cut|Rule03AReleaseThatIsInterrupted|ForgettingIsKilled|Retain|Erase|CheckDestination|StatusOfAMonthsEnd)"

// TestMain runs all tests once in every era: what a pipeline makes of a cloud must not depend on its age.
func TestMain(m *testing.M) {
	flag.Parse()
	eras := emulated.Eras()
	if *eraFlag != "" {
		e, ok := emulated.EraNamed(*eraFlag)
		if !ok {
			fmt.Fprintf(os.Stderr, "there is no era %q\n", *eraFlag)
			os.Exit(2)
		}
		eras = []emulated.Era{e}
	}
	if *eraFlag == "" && (testing.Short() || given("test.bench") || given("test.list") || given("test.fuzz")) {
		eras = []emulated.Era{emulated.Current}
	}
	code := 0
	skipped := flag.Lookup("test.skip").Value.String()
	for _, e := range eras {
		era = e
		skip := skipped
		if e.Name != emulated.Current.Name {
			skip = strings.Trim(skipped+"|"+once, "|")
		}
		if err := flag.Set("test.skip", skip); err != nil {
			panic(err)
		}
		if len(eras) > 1 {
			fmt.Println("era", e.Name)
		}
		code = cmp.Or(code, m.Run())
	}
	os.Exit(code)
}

func given(name string) bool {
	f := flag.Lookup(name)
	return f != nil && f.Value.String() != ""
}
