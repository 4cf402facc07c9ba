// kapi: a real kube-apiserver over a real etcd in one process, for tests.
package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/pflag"
	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/storage/wal"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/client-go/rest"
	logsapi "k8s.io/component-base/logs/api/v1"
	"k8s.io/kubernetes/cmd/kube-apiserver/app"
	"k8s.io/kubernetes/cmd/kube-apiserver/app/options"
)

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "kapi:", err)
		os.Exit(1)
	}
}

func sock(dir, name string) url.URL { return url.URL{Scheme: "unix", Path: filepath.Join(dir, name)} }

func startEtcd(dir string) *embed.Etcd {
	wal.SegmentSizeBytes = 4 << 20 // the default preallocates 64 MiB a segment
	c := embed.NewConfig()
	c.Dir = filepath.Join(dir, "etcd")
	c.Name = "kapi"
	c.LogLevel = "error"
	c.LogOutputs = []string{filepath.Join(dir, "etcd.log")}
	c.UnsafeNoFsync = true
	peer, client := sock(dir, "p.sock"), sock(dir, "c.sock")
	c.ListenPeerUrls = []url.URL{peer}
	// the only member is never dialled by a peer: the names it advertises only have to parse
	c.AdvertisePeerUrls = []url.URL{{Scheme: "http", Host: "localhost:2380"}}
	c.ListenClientUrls = []url.URL{client}
	c.AdvertiseClientUrls = []url.URL{{Scheme: "http", Host: "localhost:2379"}}
	c.InitialCluster = c.InitialClusterFromName(c.Name)
	// a single member elects itself: shorten the wait before the first election
	c.TickMs, c.ElectionMs = 10, 100
	e, err := embed.StartEtcd(c)
	must(err)
	select {
	case <-e.Server.ReadyNotify():
	case err := <-e.Err():
		must(err)
	case <-time.After(30 * time.Second):
		must(fmt.Errorf("etcd not ready"))
	}
	return e
}

func main() {
	t0 := time.Now()
	dir := flag.String("dir", "", "state directory (empty: a fresh temporary one, removed at exit)")
	port := flag.Int("port", 0, "port on 127.0.0.1 (0: a free one)")
	stdinEOF := flag.Bool("exit-with-stdin", false, "stop when standard input closes")
	controllers := flag.Bool("controllers", false, "also run the garbage-collector and namespace controllers")
	flag.Parse() // what follows -- goes to kube-apiserver as its own flags
	temp := *dir == ""
	var err error
	if temp {
		*dir, err = os.MkdirTemp("", "kapi")
		must(err)
		defer os.RemoveAll(*dir)
	}
	*dir, err = filepath.Abs(*dir)
	must(err)
	must(os.MkdirAll(*dir, 0o700))

	etcd := startEtcd(*dir)
	defer etcd.Close()
	tEtcd := time.Since(t0)

	// service-account key, admin token
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	der, err := x509.MarshalECPrivateKey(key)
	must(err)
	saKey := filepath.Join(*dir, "sa.key")
	must(os.WriteFile(saKey, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), 0o600))
	raw := make([]byte, 16)
	_, _ = rand.Read(raw)
	token := hex.EncodeToString(raw)
	tokens := filepath.Join(*dir, "tokens.csv")
	lines := token + ",admin,admin,system:masters\n"
	if extra, err := os.ReadFile(filepath.Join(*dir, "extra-tokens.csv")); err == nil {
		lines += string(extra)
	}
	must(os.WriteFile(tokens, []byte(lines), 0o600))

	ln, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", *port))
	must(err)
	server := "https://" + ln.Addr().String()
	certs := filepath.Join(*dir, "certs")

	s := options.NewServerRunOptions()
	fs := pflag.NewFlagSet("kube-apiserver", pflag.ExitOnError)
	for _, f := range s.Flags().FlagSets {
		fs.AddFlagSet(f)
	}
	args := append([]string{
		"--etcd-servers=unix://" + filepath.Join(*dir, "c.sock"),
		"--bind-address=127.0.0.1", "--advertise-address=127.0.0.1",
		"--cert-dir=" + certs,
		"--service-cluster-ip-range=10.0.0.0/24",
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file=" + saKey,
		"--service-account-signing-key-file=" + saKey,
		"--token-auth-file=" + tokens,
		"--authorization-mode=RBAC",
		"--anonymous-auth=true",
		"--disable-admission-plugins=ServiceAccount",
		"--allow-privileged=true",
		"--endpoint-reconciler-type=none",
		"--shutdown-delay-duration=0s",
	}, flag.Args()...)
	must(fs.Parse(args))
	s.SecureServing.Listener = ln
	s.SecureServing.BindPort = ln.Addr().(*net.TCPAddr).Port

	ctx, cancel := context.WithCancel(genericapiserver.SetupSignalContext())
	defer cancel()
	if *stdinEOF {
		go func() { _, _ = io.Copy(io.Discard, os.Stdin); cancel() }()
	}
	must(s.GenericServerRunOptions.ComponentGlobalsRegistry.Set())
	must(logsapi.ValidateAndApply(s.Logs, s.GenericServerRunOptions.ComponentGlobalsRegistry.FeatureGateFor("kube")))
	rest.SetDefaultWarningHandler(rest.NoWarnings{})
	completed, err := s.Complete(ctx)
	must(err)
	for _, e := range completed.Validate() {
		must(e)
	}

	go func() {
		var client *http.Client
		for ctx.Err() == nil {
			time.Sleep(20 * time.Millisecond)
			if client == nil {
				pemCA, err := os.ReadFile(filepath.Join(certs, "apiserver.crt"))
				if err != nil {
					continue
				}
				pool := x509.NewCertPool()
				pool.AppendCertsFromPEM(pemCA)
				client = &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
			}
			req, _ := http.NewRequest("GET", server+"/readyz", nil)
			req.Header.Set("Authorization", "Bearer "+token)
			resp, err := client.Do(req)
			if err != nil {
				continue
			}
			resp.Body.Close()
			if resp.StatusCode == 200 {
				break
			}
		}
		kc := filepath.Join(*dir, "kubeconfig")
		must(os.WriteFile(kc, []byte(fmt.Sprintf(`apiVersion: v1
kind: Config
clusters: [{name: kapi, cluster: {server: "%s", certificate-authority: "%s"}}]
users: [{name: admin, user: {token: "%s"}}]
contexts: [{name: kapi, context: {cluster: kapi, user: admin}}]
current-context: kapi
`, server, filepath.Join(certs, "apiserver.crt"), token)), 0o600))
		if *controllers {
			startControllers(ctx, server, token, filepath.Join(certs, "apiserver.crt"))
		}
		_ = json.NewEncoder(os.Stdout).Encode(map[string]any{"server": server, "token": token, "kubeconfig": kc,
			"ca": filepath.Join(certs, "apiserver.crt"), "pid": os.Getpid(),
			"etcd_ms": tEtcd.Milliseconds(), "ready_ms": time.Since(t0).Milliseconds()})
	}()
	if err := app.Run(ctx, completed); err != nil && ctx.Err() == nil {
		must(err)
	}
}
