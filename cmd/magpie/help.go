package main

import (
	"fmt"
	"strings"
)

// help shows the help of a command, or the list of all.
func help(s *session, args []string) error {
	switch strings.Join(args, " ") {
	case "":
		fmt.Fprint(s.stdout, overview())
		return nil
	case "admin":
		fmt.Fprint(s.stdout, adminHelp)
		return nil
	}
	c, rest, err := find(args)
	if err != nil {
		return err
	}
	if err := none(rest, "magpie help "+c.name); err != nil {
		return err
	}
	fmt.Fprint(s.stdout, c.help)
	return nil
}

func overview() string {
	var b strings.Builder
	b.WriteString("magpie asks data providers about people and companies, and pays only for what is found.\n\nCommands:\n")
	for _, c := range commands() {
		fmt.Fprintf(&b, "  %-19s %s\n", c.name, c.summary)
	}
	b.WriteString(`  help COMMAND        says more about a command

Every command takes --json: its answer is then JSON on stdout.

Environment:
  MAGPIE_URL        where the server is (default ` + defaultURL + `)
  MAGPIE_API_KEY    the key of an organization
  MAGPIE_ADMIN_KEY  the administrator's key, for the admin commands
Where a key is not set and the server is on this machine, the keys of a
'magpie dev' that runs in the same folder are used (./.magpie/keys.json).

Exit codes: 0 done, 1 failed, 2 used wrongly, 3 paused for credits or at a cap.

Example, with 'magpie dev' running in the same folder:
  magpie lookup mobile-validation number="+44 20 7946 0018"
`)
	return b.String()
}
