package controlplane

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
)

func TestUsersSurviveWritingAndReading(t *testing.T) {
	want := []user{
		{token: "t1", name: "ann", uid: "u1", groups: []string{"team-a", "engineers"}},
		{token: "t2", name: "oidc:bob@example.com", uid: "u2"},
		{token: `t"3`, name: "system:serviceaccount:ci:deployer", uid: ""},
	}
	var file bytes.Buffer
	if err := writeUsers(&file, want); err != nil {
		t.Fatal(err)
	}
	got, err := readUsers(&file)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("read %+v (%v), want %+v", got, err, want)
	}
}

func TestEveryFaultyUserIsReported(t *testing.T) {
	_, err := readUsers(strings.NewReader(`# token,user,uid,groups
t1,ann,u1,"a,b"
t2,ann,u2
t1,bob,u3
,cy,u4
t5,dee
`))
	if err == nil {
		t.Fatal("no error")
	}
	want := strings.Join([]string{
		"line 3: user ann is there already",
		"line 4: token is that of ann already",
		"line 5: token and user must not be empty",
		`line 6: 2 fields, want token,user,uid or token,user,uid,"group1,group2"`,
	}, "\n")
	if err.Error() != want {
		t.Errorf("error is\n%s\nwant\n%s", err, want)
	}
}
