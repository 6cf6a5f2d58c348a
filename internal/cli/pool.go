package cli

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/outcrop/outcrop/internal/client"
	"github.com/outcrop/outcrop/internal/secret"
)

const poolHelp = `Makes and shows user pools: people, or programs, who sign in to this server and get tokens that a runtime's
authorizer takes. A pool is an OpenID Connect issuer; give its discovery URL and a client's id to whatever has to know
who calls, such as outcrop's own runtimes.

A POOL is named by its id, or by its name where only one is called so.`

func newPool(p *Program, f *flags) *cobra.Command {
	c := poolCommands{p, f}
	cmd := parent("pool", "Make user pools, whose users' tokens runtimes take", `  outcrop pool create people
  outcrop pool add-user people ada --email ada@example.com
  outcrop pool add-group people operators ada
  outcrop pool add-client people cli
  outcrop pool add-client people site --redirect https://site.example.com/callback`)
	cmd.Long = poolHelp
	cmd.AddCommand(c.create(), c.list(), c.addUser(), c.addGroup(), c.addClient(), c.remove())
	return cmd
}

// poolCommands are those below `outcrop pool`.
type poolCommands struct {
	p *Program
	f *flags
}

// poolRow is a pool in JSON.
type poolRow struct {
	ID        string `json:"id"`
	Name      string `json:"name"`
	Discovery string `json:"discoveryUrl"`
}

func discoveryOf(c *client.Client, id string) string {
	return c.Issuer(id) + "/.well-known/openid-configuration"
}

func (c poolCommands) create() *cobra.Command {
	register, another, asJSON := false, false, false
	cmd := &cobra.Command{
		Use:   "create NAME",
		Short: "Make a user pool",
		Long: `Makes a user pool and prints its discovery URL. With --register applications register themselves with it, as MCP
clients do; users are asked about each. Where a pool is called so already it makes another with --another alone: the
commands then want the id.`,
		Example: "  outcrop pool create people\n  outcrop pool create tools --register",
		Args:    atLeast(1, 1, "one NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			api, err := c.p.connect(cmd.Context(), c.f)
			if err != nil {
				return err
			}
			if !another {
				ways := "Use it, take another name, or make one more all the same: outcrop pool create " + quotePOSIX(args[0]) + " --another"
				if register {
					ways += " --register"
				}
				if err := c.unnamed(cmd.Context(), api, args[0], ways+c.f.suffix()); err != nil {
					return err
				}
			}
			made, err := api.CreatePool(cmd.Context(), args[0], register)
			if err != nil {
				return err
			}
			row := poolRow{made.ID, made.Name, discoveryOf(api, made.ID)}
			if asJSON {
				return c.p.printJSON(row)
			}
			if err := c.p.printTable([]string{"POOL", "NAME", "DISCOVERY URL"}, [][]string{{row.ID, row.Name, row.Discovery}}); err != nil {
				return err
			}
			c.p.say("Next: outcrop pool add-user %s NAME%s", made.ID, c.f.suffix())
			return nil
		},
	}
	cmd.Flags().BoolVar(&register, "register", false, "let applications register themselves")
	cmd.Flags().BoolVar(&another, "another", false, "make one even if a pool is called so already")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// unnamed refuses a name that a pool has: two pools of one name are told apart by their ids
// alone.
func (poolCommands) unnamed(ctx context.Context, api *client.Client, name, ways string) error {
	all, err := api.Pools(ctx)
	if err != nil {
		return err
	}
	var ids []string
	for _, x := range poolsCalled(all, name) {
		ids = append(ids, x.ID)
	}
	if len(ids) == 0 {
		return nil
	}
	return fail(ways, "a user pool in region %s is called %q already: %s", api.Target().Region, name, strings.Join(ids, ", "))
}

func (c poolCommands) list() *cobra.Command {
	asJSON := false
	cmd := &cobra.Command{
		Use: "ls", Aliases: []string{"list"},
		Short:   "List the user pools of the region",
		Example: "  outcrop pool ls\n  outcrop pool ls --json",
		Args:    atLeast(0, 0, "no argument"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			api, err := c.p.connect(cmd.Context(), c.f)
			if err != nil {
				return err
			}
			all, err := api.Pools(cmd.Context())
			if err != nil {
				return err
			}
			rows, table := []poolRow{}, [][]string{}
			for _, x := range all {
				row := poolRow{x.ID, x.Name, discoveryOf(api, x.ID)}
				rows, table = append(rows, row), append(table, []string{row.ID, row.Name, row.Discovery})
			}
			if asJSON {
				return c.p.printJSON(rows)
			}
			if len(rows) == 0 {
				c.p.say("No user pools in region %s. Make one: outcrop pool create NAME", api.Target().Region)
				return nil
			}
			return c.p.printTable([]string{"POOL", "NAME", "DISCOVERY URL"}, table)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// find returns the pool that a person means.
func (c poolCommands) find(ctx context.Context, ref string) (*client.Client, client.Pool, error) {
	api, err := c.p.connect(ctx, c.f)
	if err != nil {
		return nil, client.Pool{}, err
	}
	all, err := api.Pools(ctx)
	if err != nil {
		return nil, client.Pool{}, err
	}
	if i := slices.IndexFunc(all, func(x client.Pool) bool { return x.ID == ref }); i >= 0 {
		return api, all[i], nil
	}
	meant := poolsCalled(all, ref)
	switch len(meant) {
	case 1:
		return api, meant[0], nil
	case 0:
		return nil, client.Pool{}, fail("See which there are: outcrop pool ls"+c.f.suffix(), "there is no user pool %q in region %s", ref, api.Target().Region)
	}
	return nil, client.Pool{}, fail("Take the id: outcrop pool ls"+c.f.suffix(), "%d user pools are called %q", len(meant), ref)
}

// poolsCalled are those of a name.
func poolsCalled(all []client.Pool, name string) []client.Pool {
	return slices.DeleteFunc(all, func(x client.Pool) bool { return x.Name != name })
}

func (c poolCommands) addUser() *cobra.Command {
	var email, file string
	temporary := false
	cmd := &cobra.Command{
		Use:   "add-user POOL NAME",
		Short: "Make a user of a pool, with a password that you are asked for",
		Long: `Makes a user of a pool. On a terminal it asks for the password; elsewhere it reads it from the file that
--password-file names, - being standard input. With --temporary the user chooses another when they first sign in.`,
		Example: "  outcrop pool add-user people ada --email ada@example.com\n  outcrop pool add-user people ada --temporary --password-file - < first.txt",
		Args:    atLeast(2, 2, "a POOL and a NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if file == "" && (!c.p.StdinTerminal || c.p.ReadSecret == nil) {
				return below(cmd, "add-user asks for a password, and nobody is there to answer; name a file with --password-file")
			}
			api, pool, err := c.find(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			password, err := c.password(cmd.Context(), file)
			if err != nil {
				return err
			}
			if err := api.AddUser(cmd.Context(), pool.ID, args[1], email, password, temporary); err != nil {
				return err
			}
			c.p.say("%s is a user of %s.", args[1], pool.Name)
			return nil
		},
	}
	cmd.Flags().StringVar(&email, "email", "", "their e-mail `address`, which counts as proven")
	cmd.Flags().StringVar(&file, "password-file", "", "`file` whose first line is the password; - is standard input")
	cmd.Flags().BoolVar(&temporary, "temporary", false, "the user chooses another when they first sign in")
	return cmd
}

// password reads a password from a person or a file, never from the command line,
// which others see.
func (c poolCommands) password(ctx context.Context, file string) (secret.String, error) {
	if file == "" {
		text, err := c.p.ReadSecret(ctx, "Password: ")
		if err != nil {
			return secret.String{}, err
		}
		again, err := c.p.ReadSecret(ctx, "The same again: ")
		if err == nil && again != text {
			err = fail("", "the two differ; nobody was made")
		}
		return secret.NewString(text), err
	}
	in := c.p.Stdin
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return secret.String{}, unreadable("password", err)
		}
		defer func() { _ = f.Close() }() // it was read
		in = f
	}
	line, err := bufio.NewReader(io.LimitReader(in, maxPassphrase)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return secret.String{}, unreadable("password", err)
	}
	return secret.NewString(strings.TrimRight(line, "\r\n")), nil
}

func (c poolCommands) addGroup() *cobra.Command {
	return &cobra.Command{
		Use:   "add-group POOL GROUP [USER...]",
		Short: "Make a group of a pool's users, and put users into it",
		Long: `Makes a group of a pool's users, unless it is there, and puts users into it. Their tokens name it among their
cognito:groups, of which a runtime's authorizer may ask for some (customClaims, CONTAINS_ANY). Who is in it already
stays in it; tokens from before do not change.`,
		Example: "  outcrop pool add-group people operators\n  outcrop pool add-group people operators ada grace",
		Args:    atLeast(2, -1, "a POOL and a GROUP"),
		RunE: func(cmd *cobra.Command, args []string) error {
			api, pool, err := c.find(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if err := api.AddGroup(cmd.Context(), pool.ID, args[1], args[2:]); err != nil {
				return err
			}
			c.p.say("%s is a group of %s.", args[1], pool.Name)
			if len(args) > 2 {
				c.p.say("In it: %s", strings.Join(args[2:], ", "))
			}
			return nil
		},
	}
}

// clientRow is an app client in JSON.
type clientRow struct {
	ID        string `json:"clientId"`
	Secret    string `json:"clientSecret,omitempty"`
	Discovery string `json:"discoveryUrl"`
}

func (c poolCommands) addClient() *cobra.Command {
	var n client.NewPoolClient
	asJSON := false
	cmd := &cobra.Command{
		Use:   "add-client POOL NAME",
		Short: "Make an application of a pool, and print its id",
		Long: `Makes an application of a pool. With --redirect users sign in at the server's page and come back to that URL, by
OAuth's authorization code with PKCE. With --machine it signs in by itself, for the scopes that --scope names as
API/NAME, which are made if they are not there. With neither users sign in by the calls of Cognito's API.`,
		Example: `  outcrop pool add-client people cli
  outcrop pool add-client people site --redirect https://site.example.com/callback --secret
  outcrop pool add-client tools robot --machine --scope tools/invoke`,
		Args: atLeast(2, 2, "a POOL and a NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			n.Name = args[1]
			switch {
			case n.Machine && len(n.Redirects) > 0:
				return below(cmd, "an application that signs in by itself has no --redirect")
			case n.Machine && len(n.Scopes) == 0:
				return below(cmd, "what may %s do? Give it with --scope, such as --scope tools/invoke", n.Name)
			case !n.Machine && len(n.Redirects) == 0 && len(n.Scopes) > 0:
				return below(cmd, "--scope is for --machine and --redirect")
			}
			return c.makeClient(cmd, args[0], n, asJSON)
		},
	}
	cmd.Flags().StringArrayVar(&n.Redirects, "redirect", nil, "`URL` that users come back to (may be repeated)")
	cmd.Flags().StringArrayVar(&n.Scopes, "scope", nil, "`scope` that it may ask for: openid, email, phone, profile or API/NAME (may be repeated)")
	cmd.Flags().BoolVar(&n.Machine, "machine", false, "it signs in by itself, with a secret")
	cmd.Flags().BoolVar(&n.Secret, "secret", false, "it has a secret, as a server can keep one")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func (c poolCommands) makeClient(cmd *cobra.Command, ref string, n client.NewPoolClient, asJSON bool) error {
	api, pool, err := c.find(cmd.Context(), ref)
	if err != nil {
		return err
	}
	for _, s := range n.Scopes {
		if i := strings.LastIndexByte(s, '/'); i > 0 {
			if err := api.AddScope(cmd.Context(), pool.ID, s[:i], s[i+1:]); err != nil {
				return err
			}
		}
	}
	made, err := api.AddPoolClient(cmd.Context(), pool.ID, n)
	if err != nil {
		return err
	}
	row := clientRow{made.ID, made.Secret.Reveal(), discoveryOf(api, pool.ID)}
	if asJSON {
		return c.p.printJSON(row)
	}
	table := [][]string{{"client id", row.ID}, {"discovery URL", row.Discovery}}
	if row.Secret != "" {
		table = append(table, []string{"client secret", row.Secret})
	}
	return c.p.printTable(nil, table)
}

func (c poolCommands) remove() *cobra.Command {
	force := false
	cmd := &cobra.Command{
		Use: "delete POOL", Aliases: []string{"rm"},
		Short:   "Delete a user pool with its users and applications",
		Long:    "Deletes a user pool with its users and applications, and its name below amazoncognito.com. None of its tokens is good\nany more where this server is asked. On a terminal it asks first.",
		Example: "  outcrop pool delete people\n  outcrop pool delete us-east-1_abCD12345 --force",
		Args:    atLeast(1, 1, "one POOL"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !force && !c.p.StdinTerminal {
				return below(cmd, "delete asks before it deletes a pool, and nobody is there to answer; give --force")
			}
			api, pool, err := c.find(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if !force {
				if err := c.p.confirm(cmd.Context(), "Delete "+pool.Name+" and all its users?", "nothing was deleted"); err != nil {
					return err
				}
			}
			if err := api.DeletePool(cmd.Context(), pool.ID); err != nil {
				return err
			}
			c.p.say("User pool %s is deleted.", pool.Name)
			return nil
		},
	}
	cmd.Flags().BoolVarP(&force, "force", "f", false, "do not ask")
	return cmd
}
