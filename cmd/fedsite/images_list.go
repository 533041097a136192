package main

import (
	"cmp"
	"time"

	"github.com/spf13/cobra"

	"github.com/fedsite/fedsite/internal/app"
	"github.com/fedsite/fedsite/internal/config"
	"github.com/fedsite/fedsite/internal/images"
	"github.com/fedsite/fedsite/internal/run"
)

// imagesList lists what is in Glance.
func (c *cli) imagesList() *cobra.Command {
	var (
		siteName string
		retired  bool
		form     *form
	)
	cmd := &cobra.Command{
		Use: "list", Short: "List the images of ours that are in Glance", Args: noArgs,
		Long: `List the images in Glance that fedsite manages, by their marks: source, version, state. The clouds are asked, the sources are not.
The wide form also has what the source calls each image.`,
		Example: "  fedsite images list\n  fedsite images list --retired\n  fedsite images list -o wide",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.with(cmd, siteName, app.Options{}, func(a *app.App, sites []config.Site) error {
				listed := []images.Listed{}
				codes := map[int]int{}
				for _, s := range sites {
					all, report := a.ListImages(cmd.Context(), s)
					codes[report.Exit()]++
					problems(c.err, c.errTerminal, report)
					for _, i := range all {
						if !retired || i.State == images.Retired {
							listed = append(listed, i)
						}
					}
				}
				if err := c.imageTable(form.value, a.Now(), listed); err != nil {
					return err
				}
				if code := together(codes); code != run.ExitDone {
					return &exit{code: code}
				}
				return nil
			})
		},
	}
	form = forms(cmd, asWide)
	cmd.Flags().StringVar(&siteName, "site", "", "only this site")
	cmd.Flags().BoolVar(&retired, "retired", false, "only those on their way out")
	return cmd
}

// asWide is a form of output: a table with more columns.
const asWide = "wide"

// imageTable lists images in a form.
func (c *cli) imageTable(form string, now time.Time, all []images.Listed) error {
	if form != asTable && form != asWide {
		return c.encode(form, all)
	}
	if len(all) == 0 {
		c.note("there are none")
		return nil
	}
	rows := [][]string{}
	for _, i := range all {
		state := string(i.State)
		if !i.Retired.IsZero() {
			state += " " + now.Sub(i.Retired).Round(time.Hour).String()
		}
		name := shortened(i.Name, 50)
		if form == asWide { // as it is to be said to block it
			name = i.Name
		}
		row := []string{i.Site, cmp.Or(i.ProjectName, i.Project), name, i.Source, cmp.Or(i.Version, "-"), state, size(i.Size), i.ID}
		if form == asWide {
			row = append(row, i.Cloud, i.Image)
		}
		rows = append(rows, row)
	}
	head := []string{"SITE", "PROJECT", "IMAGE", "SOURCE", "VERSION", "STATE", "SIZE", "GLANCE ID"}
	if form == asWide {
		head = append(head, "CLOUD", "SOURCE'S ID")
	}
	return c.table(head, rows)
}
