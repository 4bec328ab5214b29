// Package mail delivers reports by SMTP, on a schedule, once.
//
// A delivery is one report of one period to one recipient, and the delivery log knows how far it came:
//
//	(nothing) -> sending -> sent
//	                     -> failed -> sending -> ...
//
// "sending" is written before the SMTP conversation and "sent" after it, so whatever stops the process in between is
// visible afterwards. Whether such a mail arrived cannot be known; it is not repeated unless somebody asks for it, and a
// repeated mail has the same Message-ID, so that most mailboxes show it once.
package mail
