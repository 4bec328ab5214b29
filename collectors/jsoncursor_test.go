package collectors

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/bytedance/sonic"
	"github.com/bytedance/sonic/decoder"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// pieces are what documents of the tests are made of: what a cursor reads by itself, what it leaves to the decoder, and what is no JSON.
var pieces = []string{
	`"plain"`, `""`, `"a\nb"`, `"a\"b"`, `"\\"`, `"\u00e4"`, `"ä"`, "\"\x01\"", "\"\xff\"", `"open`, `"\`, `"\u12"`,
	`0`, `-0`, `7`, `-42`, `12345678901234567890`, `01`, `-`, `-x`, `1.5`, `1e3`, `1.`, `+1`, `1x`,
	`true`, `null`, `nul`, `{}`, `[]`, `[1, "a"]`, `{"k": [1]}`, `{"k"`, ``, ` `, `'a'`,
}

// byDecoder is the next value of a document, which begins with it, as the decoder passes it; false: it refuses.
func byDecoder(document []byte) (string, bool) {
	start, end := decoder.Skip(document)
	if start < 0 {
		return "", false
	}
	return string(document[start:end]), true
}

func TestPlainValuesArePassedAsTheDecoderPassesThem(t *testing.T) {
	for _, piece := range pieces {
		for _, after := range []string{"", ",", "]", "}", " ", "\n", ":", `"`, "5", "x", ".", "e", "-", "\x00"} {
			document := WithSpare([]byte(piece + after))
			cursor := NewJSONCursor(document)
			raw, err := cursor.Raw()
			want, ok := byDecoder(document)
			if ok != (err == nil) || ok && string(raw) != want {
				t.Errorf("%q: %q, %v; the decoder passes %q, %v", document, raw, err, want, ok)
			}
			var text string
			cursor.Seek(0)
			said, err := cursor.Text()
			decoded := ok && sonic.ConfigDefault.Unmarshal([]byte(want), &text) == nil
			if decoded != (err == nil) || said != text || ok && !decoded && !errors.Is(err, ErrJSONType) {
				t.Errorf("%q says %q, %v; by the decoder %q, %v", document, said, err, text, decoded)
			}
		}
	}
}

func TestMembersAreThoseOfTheStandardLibrary(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := map[string]any{}
		var members []string
		for i := range rapid.IntRange(0, 5).Draw(t, "members") {
			key := fmt.Sprint(rapid.String().Draw(t, "key"), i)
			name, err := json.Marshal(key)
			if err != nil {
				t.Fatal(err)
			}
			piece := rapid.SampledFrom(pieces).Draw(t, "value")
			var value any
			if json.Unmarshal([]byte(piece), &value) != nil {
				piece, value = "null", nil
			}
			want[key] = value
			space := rapid.SampledFrom([]string{"", " ", "\n\t"}).Draw(t, "space")
			members = append(members, space+string(name)+space+":"+space+piece+space)
		}
		document := WithSpare([]byte("{" + strings.Join(members, ",") + "}"))
		got := map[string]any{}
		cursor := NewJSONCursor(document)
		if err := cursor.Object(func(key string) error {
			raw, err := cursor.Raw()
			if err != nil {
				return err
			}
			var value any
			got[key] = value
			if err := json.Unmarshal(raw, &value); err == nil {
				got[key] = value
			}
			return nil
		}); err != nil {
			t.Fatalf("%s: %v", document, err)
		}
		if err := cursor.End(); err != nil {
			t.Fatal(err)
		}
		clear(document) // keys are kept for longer
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("members (-want +got):\n%s", diff)
		}
	})
}

func TestNamesThatAreNone(t *testing.T) {
	for document, missing := range map[string]string{
		`{1: 2}`: "a key", `{"a" 1}`: "a colon", `{"a`: "", "{\"\\u12\": 1}": "", `{"a": 1 "b": 2}`: "a comma", `{a: 1}`: "a key",
	} {
		cursor := NewJSONCursor(WithSpare([]byte(document)))
		err := cursor.Object(func(string) error { _, err := cursor.Raw(); return err })
		if syntax, ok := errors.AsType[*SyntaxError](err); !ok || !strings.Contains(syntax.Missing, missing) {
			t.Errorf("%s: %v, want it to miss %q", document, err, missing)
		}
	}
}
