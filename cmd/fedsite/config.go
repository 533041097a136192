package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/fedsite/fedsite/internal/config"
	"github.com/fedsite/fedsite/internal/run"
)

func (c *cli) config() *cobra.Command {
	cmd := &cobra.Command{Use: "config", Short: "Write, check and show the configuration", GroupID: setup,
		Args: noArgs, RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
	cmd.AddCommand(c.configInit(), c.configCheck(), c.configShow(), c.configSchema())
	return cmd
}

func (c *cli) configInit() *cobra.Command {
	var o config.TemplateOptions
	cmd := &cobra.Command{Use: "init", Short: "Write a first configuration file", Args: noArgs,
		Long: `Write a first configuration file: one site, one cloud, in mode observe, which collects and shows but sends nothing.
A file that is there already is never touched.`,
		Example: "  fedsite config init --site EXAMPLE-CLOUD --os-cloud fedsite",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.Site == "" {
				return usage(cmd, errors.New("--site is required: the name of the site in GOCDB"))
			}
			text := config.Template(o)
			cfg, err := config.Parse(c.file(), text)
			if err != nil {
				return usage(cmd, fmt.Errorf("these options make no valid configuration:\n%w", err))
			}
			if err := os.MkdirAll(filepath.Dir(c.file()), 0o755); err != nil {
				return err
			}
			f, err := os.OpenFile(c.file(), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o640)
			if errors.Is(err, fs.ErrExist) {
				return &exit{code: run.ExitFailed, err: fmt.Errorf("%s is there already", c.file()), hint: "name another file with --config, or edit this one"}
			}
			if err != nil {
				return err
			}
			_, err = f.Write(text)
			if err := errors.Join(err, letRead(f, cfg.Store.Path), f.Close()); err != nil {
				return fmt.Errorf("write %s: %w", c.file(), err)
			}
			_, err = fmt.Fprintf(c.out, "wrote %s\nnext: fedsite config check, then systemctl enable --now fedsite; without systemd: fedsite serve\n", c.file())
			return err
		}}
	cmd.Flags().StringVar(&o.Site, "site", "", "name of the site in GOCDB (required)")
	cmd.Flags().StringVar(&o.Cloud, "cloud", "main", "name of the cloud, of your choice")
	cmd.Flags().StringVar(&o.OSCloud, "os-cloud", "fedsite", "entry of clouds.yaml to sign in with")
	return cmd
}

// letRead lets the service read a file that root writes: its group becomes that of the state directory's owner.
func letRead(f *os.File, state string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	owner, group, err := ownerOf(state)
	if err != nil || owner == 0 {
		return err
	}
	return f.Chown(0, group)
}

func (c *cli) configCheck() *cobra.Command {
	var reload bool
	cmd := &cobra.Command{Use: "check", Short: "Check the configuration; nothing is asked of any service", Args: noArgs,
		Long: `Check the configuration and the site files that it names; nothing is asked of any service. A site file that is wrong
spoils no other site, and is shown here with line and reason: exit code 10. Asked by root, it reads them as the user that
the state directory belongs to.`,
		RunE: func(*cobra.Command, []string) error {
			cfg, err := c.loadAsService()
			if err != nil {
				return err
			}
			for _, s := range cfg.Sites {
				vos := map[string]bool{}
				for _, cl := range s.Clouds {
					for _, vo := range cl.Cloud.VOs {
						vos[vo.Name] = true
					}
				}
				fmt.Fprintf(c.out, "%s: %s, %s in the file, accounting %s, discovery %s", s.Site.Name, several(int64(len(s.Clouds)), "clouds"), several(int64(len(vos)), "VOs"), s.Accounting.Mode, s.Discovery.Mode)
				if len(s.Images.Sources) > 0 {
					fmt.Fprintf(c.out, ", images %s from %s", s.Images.Mode, several(int64(len(s.Images.Sources)), "sources"))
				}
				fmt.Fprintln(c.out)
			}
			for _, n := range cfg.Notices {
				c.note(n.String())
			}
			for _, b := range cfg.Broken {
				c.fail(b.Err, "")
			}
			if n := len(cfg.Broken); n > 0 {
				c.note(fmt.Sprintf("%s itself is valid. There are errors in %s: the sites there keep their last good configuration, if the service has one", c.file(), several(int64(n), "files")))
				if !reload {
					return &exit{code: run.ExitConfiguration}
				}
				return nil
			}
			_, err = fmt.Fprintf(c.out, "%s is valid\n", c.file())
			return err
		}}
	cmd.Flags().BoolVar(&reload, "reload", false, "exit 0 when the service would load it, also when site files are wrong")
	return cmd
}

// loadAsService reads the configuration as the service's user, where root asks and there is one: what only root can read is
// not there for the service.
func (c *cli) loadAsService() (*config.Config, error) {
	cfg, err := c.load()
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(cfg.Store.Path); err != nil { // nobody's yet: a check makes nothing
		return cfg, nil
	}
	if err := c.dropRoot(cfg.Store.Path); err != nil || c.became == "" {
		return cfg, err
	}
	return c.load()
}

func (c *cli) configShow() *cobra.Command {
	return &cobra.Command{Use: "show", Short: "Show the effective configuration, with the origin of each value; secrets as ***", Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			cfg, err := c.load()
			if err != nil {
				return err
			}
			return cfg.Show(c.out)
		}}
}

func (c *cli) configSchema() *cobra.Command {
	return &cobra.Command{Use: "schema", Short: "Print the configuration's JSON Schema, for editors", Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := c.out.Write(config.Schema())
			return err
		}}
}
