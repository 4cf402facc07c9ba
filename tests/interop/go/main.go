// Command interop is the CloudEvents SDK for Go as a producer or as a sink.
//
//	interop send URL   posts what is described on standard input, prints the status
//	interop sink       listens on a free port, prints it, then every event as the SDK understands it, one a line
//
// A sink answers an event of type com.example.asks with a reply.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	cloudevents "github.com/cloudevents/sdk-go/v2"
	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/cloudevents/sdk-go/v2/event"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"
)

type described struct {
	SpecVersion string         `json:"specversion"`
	ID          string         `json:"id"`
	Source      string         `json:"source"`
	Type        string         `json:"type"`
	Subject     string         `json:"subject,omitempty"`
	Time        string         `json:"time,omitempty"`
	Schema      string         `json:"schema,omitempty"`
	ContentType string         `json:"datacontenttype,omitempty"`
	Extensions  map[string]any `json:"extensions,omitempty"`
	Data        []byte         `json:"data,omitempty"`
}

type order struct {
	Mode   string      `json:"mode"`
	Events []described `json:"events"`
}

func made(from described) event.Event {
	e := event.New(from.SpecVersion)
	e.SetID(from.ID)
	e.SetSource(from.Source)
	e.SetType(from.Type)
	if from.Subject != "" {
		e.SetSubject(from.Subject)
	}
	if from.Time != "" {
		at, err := time.Parse(time.RFC3339Nano, from.Time)
		fatal(err)
		e.SetTime(at)
	}
	if from.Schema != "" {
		e.SetDataSchema(from.Schema)
	}
	for name, value := range from.Extensions {
		if number, ok := value.(float64); ok {
			value = int32(number)
		}
		e.SetExtension(name, value)
	}
	if from.Data != nil {
		setData(&e, from)
	} else if from.ContentType != "" {
		e.SetDataContentType(from.ContentType)
	}
	fatal(e.Validate())
	return e
}

// setData gives bytes to the SDK, or a value where they are JSON.
func setData(e *event.Event, from described) {
	if from.ContentType == cloudevents.ApplicationJSON {
		fatal(e.SetData(from.ContentType, json.RawMessage(from.Data)))
		return
	}
	if from.SpecVersion == cloudevents.VersionV1 {
		fatal(e.SetData(from.ContentType, from.Data))
		return
	}
	// What the SDK's SetData has no codec for in 0.3.
	e.SetDataContentType(from.ContentType)
	e.SetDataContentEncoding(event.Base64)
	e.DataEncoded = from.Data
	e.DataBase64 = true
}

func send(url string) {
	var what order
	fatal(json.NewDecoder(os.Stdin).Decode(&what))
	events := make([]event.Event, 0, len(what.Events))
	for _, one := range what.Events {
		events = append(events, made(one))
	}
	ctx := context.Background()
	var request *http.Request
	var err error
	switch what.Mode {
	case "batch":
		request, err = cehttp.NewHTTPRequestFromEvents(ctx, url, events)
	default:
		request, err = http.NewRequestWithContext(ctx, http.MethodPost, url, nil)
		fatal(err)
		if what.Mode == "structured" {
			ctx = binding.WithForceStructured(ctx)
		} else {
			ctx = binding.WithForceBinary(ctx)
		}
		err = cehttp.WriteRequest(ctx, binding.ToMessage(&events[0]), request)
	}
	fatal(err)
	answer, err := http.DefaultClient.Do(request)
	fatal(err)
	defer answer.Body.Close()
	said := new(bytes.Buffer)
	_, _ = said.ReadFrom(answer.Body)
	print1(map[string]any{"status": answer.StatusCode, "body": said.String()})
}

func understood(e event.Event) described {
	found := described{
		SpecVersion: e.SpecVersion(), ID: e.ID(), Source: e.Source(), Type: e.Type(), Subject: e.Subject(),
		Schema: e.DataSchema(), ContentType: e.DataContentType(), Extensions: e.Extensions(), Data: e.Data(),
	}
	if !e.Time().IsZero() {
		found.Time = e.Time().Format(time.RFC3339Nano)
	}
	return found
}

func sink() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	fatal(err)
	client, err := cloudevents.NewClientHTTP(cehttp.WithListener(listener))
	fatal(err)
	print1(map[string]any{"port": listener.Addr().(*net.TCPAddr).Port})
	fatal(client.StartReceiver(context.Background(), func(e event.Event) (*event.Event, cloudevents.Result) {
		print1(understood(e))
		if e.Type() != "com.example.asks" {
			return nil, cloudevents.ResultACK
		}
		reply := event.New(e.SpecVersion())
		reply.SetID("reply-to-" + e.ID())
		reply.SetSource("/go/sink")
		reply.SetType("com.example.reply")
		reply.SetExtension("anint", 7)
		fatal(reply.SetData(cloudevents.ApplicationJSON, map[string]string{"to": e.ID()}))
		return &reply, cloudevents.ResultACK
	}))
}

var printing sync.Mutex

func print1(value any) {
	printing.Lock()
	defer printing.Unlock()
	fatal(json.NewEncoder(os.Stdout).Encode(value))
}

func fatal(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func main() {
	switch {
	case len(os.Args) == 3 && os.Args[1] == "send":
		send(os.Args[2])
	case len(os.Args) == 2 && os.Args[1] == "sink":
		sink()
	default:
		fmt.Fprintln(os.Stderr, "interop send URL | interop sink")
		os.Exit(2)
	}
}
