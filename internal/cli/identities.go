package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/spf13/cobra"

	"github.com/outcrop/outcrop/internal/client"
	"github.com/outcrop/outcrop/internal/principal"
)

const userHelp = `Makes and shows users: people or programs with access keys of their own, who may do what their policies allow and
nothing else. The AWS CLI does all of IAM (aws iam help); these commands do what is needed every day.`

func newUsers(p *Program, f *flags) *cobra.Command {
	c := identityCommands{p, f, "User"}
	cmd := parent("user", "Make users with access keys and policies of their own", `  outcrop user create ann --attach BedrockAgentCoreFullAccess --key
  outcrop user create ci --policy invoke.json
  outcrop user key ann
  outcrop user ls`)
	cmd.Long = userHelp
	cmd.AddCommand(c.createUser(), c.key(), c.list(), c.remove())
	return cmd
}

const roleHelp = `Makes and shows roles: what agents run as, or what users become for a while. The role outcrop-default is there for
agents that are deployed without --role.`

func newRole(p *Program, f *flags) *cobra.Command {
	c := identityCommands{p, f, "Role"}
	cmd := parent("role", "Make roles for agents and for users", `  outcrop role create reader --policy read.json
  outcrop deploy . --role reader
  outcrop role create admin --trust account --attach AdministratorAccess
  outcrop role ls`)
	cmd.Long = roleHelp
	cmd.AddCommand(c.createRole(), c.list(), c.remove())
	return cmd
}

// identityCommands are those below `outcrop user` and `outcrop role`.
type identityCommands struct {
	p    *Program
	f    *flags
	kind string // User or Role
}

// word is what the kind is called in texts.
func (c identityCommands) word() string { return strings.ToLower(c.kind) }

// rights are the policies that a new user or role begins with.
type rights struct{ attach, files []string }

func (r *rights) register(cmd *cobra.Command) {
	cmd.Flags().StringArrayVar(&r.attach, "attach", nil, "managed `policy` to attach: an ARN, or the name of one of AWS's, such as ReadOnlyAccess (may be repeated)")
	cmd.Flags().StringArrayVar(&r.files, "policy", nil, "`file` of a policy to put in, called like the file (may be repeated)")
}

// read reads the files before anything is made.
func (r *rights) read() (documents map[string]string, err error) {
	documents = map[string]string{}
	for _, file := range r.files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, unreadable("policy", err)
		}
		documents[strings.TrimSuffix(filepath.Base(file), filepath.Ext(file))] = string(text)
	}
	return documents, nil
}

// give gives them to a user or a role.
func (r *rights) give(ctx context.Context, api *client.Client, h client.Holder, documents map[string]string) error {
	for _, policy := range r.attach {
		if err := api.Attach(ctx, h, policyARN(policy)); err != nil {
			return err
		}
	}
	for name, text := range documents {
		if err := api.PutPolicy(ctx, h, name, text); err != nil {
			return fmt.Errorf("policy %s: %w", name, err)
		}
	}
	return nil
}

// policyARN is that of a managed policy of AWS's, or what is given.
func policyARN(policy string) string {
	if strings.HasPrefix(policy, "arn:") {
		return policy
	}
	return "arn:aws:iam::aws:policy/" + policy
}

// made deletes again what could not get its rights: one with fewer than were asked
// for would be taken for finished.
func (c identityCommands) made(ctx context.Context, api *client.Client, name string, err error) error {
	if err == nil {
		return nil
	}
	if undo := api.DeleteIdentity(context.WithoutCancel(ctx), client.Holder{Kind: c.kind, Name: name}); undo != nil {
		return errors.Join(err, undo)
	}
	return err
}

// keyRow is an access key in JSON.
type keyRow struct {
	User   string `json:"user"`
	ARN    string `json:"arn,omitempty"`
	ID     string `json:"accessKeyId,omitempty"`
	Secret string `json:"secretAccessKey,omitempty"`
}

func (c identityCommands) createUser() *cobra.Command {
	var r rights
	key, asJSON := false, false
	cmd := &cobra.Command{
		Use:   "create NAME",
		Short: "Make a user",
		Long: `Makes a user, who may do what --attach and --policy allow. With --key it gets an access key, which is printed once and
never again.`,
		Example: "  outcrop user create ann --attach BedrockAgentCoreFullAccess --key\n  outcrop user create ci --policy invoke.json --key --json",
		Args:    atLeast(1, 1, "one NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			documents, err := r.read()
			if err != nil {
				return err
			}
			ctx := cmd.Context()
			api, err := c.p.connect(ctx, c.f)
			if err != nil {
				return err
			}
			row := keyRow{User: args[0]}
			if row.ARN, err = api.CreateUser(ctx, args[0]); err != nil {
				return err
			}
			if err := c.made(ctx, api, args[0], r.give(ctx, api, client.Holder{Kind: "User", Name: args[0]}, documents)); err != nil {
				return err
			}
			if key {
				made, err := api.CreateAccessKey(ctx, args[0])
				if err != nil {
					return err
				}
				row.ID, row.Secret = made.ID, made.Secret.Reveal()
			}
			return c.printKey(row, asJSON)
		},
	}
	r.register(cmd)
	cmd.Flags().BoolVar(&key, "key", false, "make an access key and print it")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func (c identityCommands) printKey(row keyRow, asJSON bool) error {
	if asJSON {
		return c.p.printJSON(row)
	}
	var table [][]string
	for _, line := range [][]string{{"user", row.User}, {"ARN", row.ARN}, {"access key id", row.ID}, {"secret access key", row.Secret}} {
		if line[1] != "" {
			table = append(table, line)
		}
	}
	if row.ID == "" {
		c.p.say("Next: outcrop user key %s%s", row.User, c.f.suffix())
	}
	return c.p.printTable(nil, table)
}

func (c identityCommands) key() *cobra.Command {
	asJSON := false
	cmd := &cobra.Command{
		Use:     "key NAME",
		Short:   "Make an access key of a user, and print it",
		Long:    "Makes an access key of a user, who may have two, and prints it once. aws iam update-access-key and delete-access-key end one.",
		Example: "  outcrop user key ann\n  outcrop user key ci --json",
		Args:    atLeast(1, 1, "one NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			api, err := c.p.connect(cmd.Context(), c.f)
			if err != nil {
				return err
			}
			made, err := api.CreateAccessKey(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return c.printKey(keyRow{User: args[0], ID: made.ID, Secret: made.Secret.Reveal()}, asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func (c identityCommands) createRole() *cobra.Command {
	var r rights
	var trust, description string
	asJSON := false
	cmd := &cobra.Command{
		Use:   "create NAME",
		Short: "Make a role",
		Long: `Makes a role, which may do what --attach and --policy allow. --trust says who may have it: agents of this account,
which is the default; account, those of its users whose policies allow sts:AssumeRole; or a file with a trust policy.`,
		Example: "  outcrop role create reader --policy read.json\n  outcrop role create admin --trust account --attach AdministratorAccess\n  outcrop role create x --trust trust.json",
		Args:    atLeast(1, 1, "one NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			documents, err := r.read()
			if err != nil {
				return err
			}
			document := ""
			if trust != trustAgents && trust != trustAccount {
				text, err := os.ReadFile(trust)
				if err != nil {
					return unreadable("trust policy", err)
				}
				document = string(text)
			}
			ctx := cmd.Context()
			api, err := c.p.connect(ctx, c.f)
			if err != nil {
				return err
			}
			if document == "" {
				if document, err = trustOf(ctx, api, trust); err != nil {
					return err
				}
			}
			arn, err := api.CreateRole(ctx, args[0], document, description)
			if err != nil {
				return err
			}
			if err := c.made(ctx, api, args[0], r.give(ctx, api, client.Holder{Kind: "Role", Name: args[0]}, documents)); err != nil {
				return err
			}
			if asJSON {
				return c.p.printJSON(map[string]string{"role": args[0], "arn": arn})
			}
			return c.p.printTable(nil, [][]string{{"role", args[0]}, {"ARN", arn}})
		},
	}
	r.register(cmd)
	cmd.Flags().StringVar(&trust, "trust", trustAgents, "who may have it: agents, account or a `file`")
	cmd.Flags().StringVar(&description, "description", "", "`text` that describes it")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// The words that --trust knows besides files.
const (
	trustAgents  = "agents"
	trustAccount = "account"
)

// trustOf returns the trust policy that a word stands for.
func trustOf(ctx context.Context, api *client.Client, who string) (string, error) {
	server, err := api.Server(ctx)
	if err != nil {
		return "", err
	}
	account := aws.ToString(server.Account)
	if who == trustAgents {
		return principal.AgentTrust(account), nil
	}
	return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::` + account + `:root"},"Action":"sts:AssumeRole"}]}`, nil
}

func (c identityCommands) list() *cobra.Command {
	asJSON := false
	cmd := &cobra.Command{
		Use: "ls", Aliases: []string{"list"},
		Short:   "List the " + c.word() + "s of the account",
		Example: "  outcrop " + c.word() + " ls\n  outcrop " + c.word() + " ls --json",
		Args:    atLeast(0, 0, "no argument"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			api, err := c.p.connect(cmd.Context(), c.f)
			if err != nil {
				return err
			}
			all, err := api.Identities(cmd.Context(), c.kind)
			if err != nil {
				return err
			}
			if asJSON {
				return c.p.printJSON(append([]client.Identity{}, all...))
			}
			if len(all) == 0 {
				c.p.say("No %ss. Make one: outcrop %s create NAME%s", c.word(), c.word(), c.f.suffix())
				return nil
			}
			var table [][]string
			for _, i := range all {
				table = append(table, []string{i.Name, i.ARN, i.CreateDate.Format("2006-01-02 15:04"), i.Description})
			}
			return c.p.printTable([]string{strings.ToUpper(c.kind), "ARN", "CREATED", "DESCRIPTION"}, table)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func (c identityCommands) remove() *cobra.Command {
	force := false
	long := "Deletes a role with its policies. Sessions of it end, those of agents too. On a terminal it asks first."
	if c.kind == "User" {
		long = "Deletes a user with the access keys and policies. Sessions of it end. On a terminal it asks first."
	}
	cmd := &cobra.Command{
		Use: "delete NAME", Aliases: []string{"rm"},
		Short:   "Delete a " + c.word() + " with its policies",
		Long:    long,
		Example: "  outcrop " + c.word() + " delete old\n  outcrop " + c.word() + " delete old --force",
		Args:    atLeast(1, 1, "one NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !force && !c.p.StdinTerminal {
				return below(cmd, "delete asks before it deletes a %s, and nobody is there to answer; give --force", c.word())
			}
			api, err := c.p.connect(cmd.Context(), c.f)
			if err != nil {
				return err
			}
			if !force {
				if err := c.p.confirm(cmd.Context(), "Delete the "+c.word()+" "+args[0]+"?", "nothing was deleted"); err != nil {
					return err
				}
			}
			if err := api.DeleteIdentity(cmd.Context(), client.Holder{Kind: c.kind, Name: args[0]}); err != nil {
				return err
			}
			c.p.say("%s %s is deleted.", c.kind, args[0])
			return nil
		},
	}
	cmd.Flags().BoolVarP(&force, "force", "f", false, "do not ask")
	return cmd
}

// identity returns the ARN of user/NAME, role/NAME or an ARN.
func (p *Program) identity(ctx context.Context, api *client.Client, who string) (string, error) {
	word, name, _ := strings.Cut(who, "/")
	switch {
	case strings.HasPrefix(who, "arn:"):
		return who, nil
	case strings.HasPrefix(name, "arn:"): // where a name of that kind was asked for
		return name, nil
	}
	kind := map[string]string{"user": "User", "role": "Role"}[word]
	all, err := api.Identities(ctx, kind)
	if err != nil {
		return "", err
	}
	i := slices.IndexFunc(all, func(i client.Identity) bool { return i.Name == name })
	if i < 0 {
		return "", fail("See which there are: outcrop "+word+" ls", "there is no %s %q", word, name)
	}
	return all[i].ARN, nil
}

// defaultRole makes the role of agents that are given no other, where it is not there:
// an account has it from its beginning, unless it is older than that or somebody has
// deleted it. A caller who may not look or not make it deploys all the same; the server
// says then what is wrong, if anything is.
func (p *Program) defaultRole(ctx context.Context, c *client.Client, account string) error {
	there, err := c.RoleThere(ctx, principal.AgentRole)
	if there || err != nil {
		return ctx.Err()
	}
	_, err = c.CreateRole(ctx, principal.AgentRole, principal.AgentTrust(account), "For agents that were given no other role")
	if err == nil {
		err = c.PutPolicy(ctx, client.Holder{Kind: "Role", Name: principal.AgentRole}, "agent", principal.AgentPolicy(account))
	}
	switch {
	case client.Is(err, "EntityAlreadyExists"), client.Is(err, "AccessDenied"):
		return nil
	case err != nil:
		return fmt.Errorf("make the role %s: %w", principal.AgentRole, err)
	}
	p.say("made the role %s, which agents have that are given no other (outcrop role --help)", principal.AgentRole)
	return nil
}
