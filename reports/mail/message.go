package mail

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	netmail "net/mail"
	"strings"

	gomail "github.com/wneessen/go-mail"

	"github.com/kubevalue/kubevalue/schema"
)

// messageID is the same for every attempt at one delivery, so that a mailbox that gets it twice can tell.
func (s *Sender) messageID(report, period, rcpt string) string {
	sum := sha256.Sum256([]byte(deliveryKey(report, period, rcpt)))
	return hex.EncodeToString(sum[:16]) + "@" + s.domain
}

// compose makes the message: plain text and HTML as alternatives, images beside them by Content-ID.
func (s *Sender) compose(m Mailing, d schema.Delivery) (*gomail.Msg, error) {
	to, err := netmail.ParseAddress(d.Recipient)
	if err != nil {
		return nil, fmt.Errorf("%q is no mail address: %w", d.Recipient, err)
	}
	msg := gomail.NewMsg(gomail.WithNoDefaultUserAgent())
	if err := msg.From(s.cfg.From); err != nil {
		return nil, fmt.Errorf("sender %q: %w", s.cfg.From, err)
	}
	msg.ToMailAddress(to)
	if s.cfg.ReplyTo != "" {
		if err := msg.ReplyTo(s.cfg.ReplyTo); err != nil {
			return nil, fmt.Errorf("reply_to %q: %w", s.cfg.ReplyTo, err)
		}
	}
	msg.Subject(m.Message.Subject)
	msg.SetDateWithValue(s.now())
	msg.SetMessageIDWithValue(d.MessageID)
	msg.SetUserAgent("kubevalue")
	// Nobody's out-of-office note should answer a report.
	msg.SetGenHeader("Auto-Submitted", "auto-generated")
	msg.SetGenHeader("X-Auto-Response-Suppress", "OOF, AutoReply")
	msg.SetGenHeaderPreformatted("List-Id", "<"+strings.ReplaceAll(d.Report, "/", ".")+"."+s.domain+">")
	s.setUnsubscribe(msg, d)
	msg.SetBodyString(gomail.TypeTextPlain, m.Message.Text)
	msg.AddAlternativeString(gomail.TypeTextHTML, m.Message.HTML)
	for _, img := range m.Message.Images {
		if err := msg.EmbedReader(img.Name, bytes.NewReader(img.PNG),
			gomail.WithFileContentID("<"+img.ContentID+">"), gomail.WithFileContentType("image/png")); err != nil {
			return nil, fmt.Errorf("image %s: %w", img.Name, err)
		}
	}
	msg.SetDKIM(s.relay.dkim)
	// A message that cannot be written must fail before the conversation begins, not in its middle.
	if _, err := msg.WriteTo(io.Discard); err != nil {
		return nil, fmt.Errorf("writing the message: %w", err)
	}
	return msg, nil
}

// setUnsubscribe names the ways to leave. Only an https address can promise that one click is enough.
func (s *Sender) setUnsubscribe(msg *gomail.Msg, d schema.Delivery) {
	var ways []string
	if s.cfg.Unsubscribe != nil {
		ways = append(ways, s.cfg.Unsubscribe.URL(d.Report, d.Recipient))
	}
	if s.cfg.UnsubscribeAt != "" {
		ways = append(ways, s.cfg.UnsubscribeAt)
	}
	if len(ways) == 0 {
		return
	}
	msg.SetListUnsubscribe(ways...)
	if strings.HasPrefix(ways[0], "https:") {
		msg.SetListUnsubscribePost()
	}
}
