package controlplane

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strings"
)

// A user authenticates by a bearer token, as in kube-apiserver's static token file.
type user struct {
	token, name, uid string
	groups           []string
}

// readUsers reads lines of `token,user,uid` or `token,user,uid,"group1,group2"`. It reports
// every faulty line at once.
func readUsers(r io.Reader) ([]user, error) {
	lines := csv.NewReader(r)
	lines.FieldsPerRecord = -1
	lines.Comment = '#'
	var users []user
	var faults []error
	tokens := map[string]string{}
	names := map[string]bool{}
	for {
		fields, err := lines.Read()
		if errors.Is(err, io.EOF) {
			return users, errors.Join(faults...)
		}
		if err != nil {
			return nil, errors.Join(append(faults, err)...)
		}
		line, _ := lines.FieldPos(0)
		u, err := parseUser(fields)
		switch {
		case err != nil:
		case tokens[u.token] != "":
			err = fmt.Errorf("token is that of %s already", tokens[u.token])
		case names[u.name]:
			err = fmt.Errorf("user %s is there already", u.name)
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("line %d: %w", line, err))
			continue
		}
		tokens[u.token], names[u.name] = u.name, true
		users = append(users, u)
	}
}

func parseUser(fields []string) (user, error) {
	if len(fields) < 3 || len(fields) > 4 {
		return user{}, fmt.Errorf(`%d fields, want token,user,uid or token,user,uid,"group1,group2"`, len(fields))
	}
	u := user{token: fields[0], name: fields[1], uid: fields[2]}
	if u.token == "" || u.name == "" {
		return user{}, errors.New("token and user must not be empty")
	}
	if len(fields) == 4 && fields[3] != "" {
		u.groups = strings.Split(fields[3], ",")
	}
	return u, nil
}

// writeUsers writes users in the form that readUsers and kube-apiserver read.
func writeUsers(w io.Writer, users []user) error {
	lines := csv.NewWriter(w)
	for _, u := range users {
		fields := []string{u.token, u.name, u.uid}
		if len(u.groups) > 0 {
			fields = append(fields, strings.Join(u.groups, ","))
		}
		if err := lines.Write(fields); err != nil {
			return err
		}
	}
	lines.Flush()
	return lines.Error()
}
