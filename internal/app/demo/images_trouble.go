package demo

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/fedsite/fedsite/internal/app"
	"github.com/fedsite/fedsite/internal/config"
	"github.com/fedsite/fedsite/internal/emulator/faults"
	"github.com/fedsite/fedsite/internal/images"
)

// pause lies between a run that a fault struck and the next one: tasks bring images every ten minutes.
const pause = 10 * time.Minute

// miss lets a fault strike the run that is to bring newer images, and has fedsite run again when it is over. It says what was
// not as it should be: what was in use stays so, why nothing newer came is said, and then it comes.
func (d *Demo) miss(ctx context.Context, a *app.App, sites []config.Site, n faults.Named) (e Episode, wrong []string, err error) {
	e = Episode{Name: n.Name, Text: n.Text, At: d.clock.now()}
	if e.What, err = d.publishAnew(); err != nil {
		return e, nil, err
	}
	used, struck := d.inUse(), d.faults.Struck()+d.Federation.Faults.Struck()
	if err := d.arm(trouble{Named: n}, e.At); err != nil {
		return e, nil, err
	}
	r, err := bring(ctx, a, sites)
	if derr := d.disarm(trouble{Named: n}, e.At); err == nil {
		err = derr
	}
	if err != nil {
		return e, nil, err
	}
	e.Struck = d.faults.Struck() + d.Federation.Faults.Struck() - struck
	e.Runs, e.Said = []string{"images " + r.line()}, r.Report.Problems
	if e.Struck == 0 || len(e.Said) == 0 && !n.Heals {
		wrong = append(wrong, fmt.Sprintf("%s: %d requests were struck, and %d problems reported", n.Name, e.Struck, len(e.Said)))
	}
	stay := d.inUse()
	for _, i := range slices.Sorted(maps.Keys(used)) {
		if !stay[i] {
			wrong = append(wrong, fmt.Sprintf("%s: %s is in use no more", n.Name, i))
		}
	}
	if err := d.pass(pause); err != nil {
		return e, nil, err
	}
	if r, err = bring(ctx, a, sites); err != nil {
		return e, nil, err
	}
	e.Then, e.Next = "images "+r.line(), r.Report.Problems
	for _, w := range d.wrongImages() {
		wrong = append(wrong, n.Name+" is over: "+w)
	}
	return e, wrong, nil
}

// line says how a run of images ended, and what it did.
func (r ImageRun) line() string {
	return fmt.Sprintf("%s: %s", r.Report.Outcome, cmp.Or(strings.Join(r.Did, ", "), "nothing done"))
}

// pass lets time pass, at once: all clocks stand later, and so do those that run when the demo serves.
func (d *Demo) pass(by time.Duration) error {
	at := d.clock.now().Add(by)
	if err := d.Forward(by); err != nil {
		return err
	}
	d.stand(at)
	return nil
}

// publishAnew has a newer disk in the list, and another one in the registry.
func (d *Demo) publishAnew() (what string, err error) {
	d.anew++
	vo := d.listed()
	if err := d.renewImage(d.Federation.Images.Endorser, vo); err != nil {
		return "", err
	}
	build := builds[0]
	if err := d.Federation.PushUbuntu(build.version, fmt.Sprintf("%08x", d.seedOf(0)), d.seedOf(0)); err != nil {
		return "", err
	}
	return fmt.Sprintf("the list of %s and the registry have a newer image each", vo), nil
}

// inUse are the images that VMs can be made of: which image, in which project.
func (d *Demo) inUse() map[string]bool {
	all := map[string]bool{}
	for _, i := range d.World.AllImages() {
		if i.Properties["fedsite_managed_by"] != "" && i.Properties["fedsite_state"] == string(images.Active) && i.Status == "active" && !i.Hidden {
			all[fmt.Sprintf("%s of VO %s", i.Properties["fedsite_image"], d.voOf(i.Owner))] = true
		}
	}
	return all
}
