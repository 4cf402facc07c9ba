package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/client-go/tools/pager"

	"k8s.io/apimachinery/pkg/runtime"
)

var triggers = schema.GroupVersionResource{Group: "eventing.knative.dev", Version: "v1", Resource: "triggers"}

// counts of what an informer told, safe for its goroutines.
type counts struct {
	sync.Mutex
	added, updated, deleted int
}

func (c *counts) have(added, updated, deleted int) bool {
	c.Lock()
	defer c.Unlock()
	return c.added == added && c.updated >= updated && c.deleted == deleted
}

func (c *counts) told() cache.ResourceEventHandler {
	count := func(which *int) { c.Lock(); defer c.Unlock(); *which++ }
	return cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { count(&c.added) },
		UpdateFunc: func(any, any) { count(&c.updated) },
		DeleteFunc: func(any) { count(&c.deleted) },
	}
}

func configMap(name string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}, Data: map[string]string{"a": "1"}}
}

func trigger(name string) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "eventing.knative.dev/v1",
		"kind":       "Trigger",
		"metadata":   map[string]any{"name": name},
		"spec":       map[string]any{"broker": "b", "subscriber": map[string]any{"uri": "http://127.0.0.1/"}},
	}}
}

// A typed informer keeps a copy: what is there already, what is made, changed and deleted.
func informer(ctx context.Context, config *rest.Config, namespace string) error {
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	maps := client.CoreV1().ConfigMaps(namespace)
	for _, name := range []string{"one", "two"} {
		if _, err := maps.Create(ctx, configMap(name), metav1.CreateOptions{}); err != nil {
			return err
		}
	}
	factory := informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithNamespace(namespace))
	shared, seen := factory.Core().V1().ConfigMaps(), &counts{}
	if _, err := shared.Informer().AddEventHandler(seen.told()); err != nil {
		return err
	}
	factory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())
	if err := until(ctx, "two are there", func() bool { return seen.have(2, 0, 0) }); err != nil {
		return err
	}
	found, err := shared.Lister().ConfigMaps(namespace).Get("one")
	if err != nil {
		return err
	}
	changed := found.DeepCopy()
	changed.Data["a"] = "2"
	if changed, err = maps.Update(ctx, changed, metav1.UpdateOptions{}); err != nil {
		return err
	}
	if _, err := maps.Update(ctx, found.DeepCopy(), metav1.UpdateOptions{}); !errors.IsConflict(err) {
		return fmt.Errorf("a change of an old state is no conflict: %v", err)
	}
	if err := maps.Delete(ctx, "two", metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &found.UID}}); !errors.IsConflict(err) {
		return fmt.Errorf("the deletion of another object is no conflict: %v", err)
	}
	if err := maps.Delete(ctx, "two", metav1.DeleteOptions{}); err != nil {
		return err
	}
	return until(ctx, "the copy is as the server", func() bool {
		one, err := shared.Lister().ConfigMaps(namespace).Get("one")
		return err == nil && one.ResourceVersion == changed.ResourceVersion && seen.have(2, 1, 1)
	})
}

// A dynamic informer tells again of everything at intervals, and goes on meanwhile.
func resync(ctx context.Context, config *rest.Config, namespace string) error {
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return err
	}
	factory := dynamicinformer.NewFilteredDynamicSharedInformerFactory(client, time.Second, namespace, nil)
	shared, seen := factory.ForResource(triggers), &counts{}
	if _, err := shared.Informer().AddEventHandler(seen.told()); err != nil {
		return err
	}
	factory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())
	if _, err := client.Resource(triggers).Namespace(namespace).Create(ctx, trigger("t"), metav1.CreateOptions{}); err != nil {
		return err
	}
	if err := until(ctx, "told of it again", func() bool { return seen.have(1, 2, 0) }); err != nil {
		return err
	}
	status := []byte(`{"status":{"observedGeneration":1}}`)
	patched, err := client.Resource(triggers).Namespace(namespace).Patch(ctx, "t", types.MergePatchType, status, metav1.PatchOptions{}, "status")
	if err != nil {
		return err
	}
	return until(ctx, "the status is seen", func() bool {
		found, err := shared.Lister().ByNamespace(namespace).Get("t")
		return err == nil && found.(*unstructured.Unstructured).GetResourceVersion() == patched.GetResourceVersion()
	})
}

// Kinds are found by their names and short names, and back.
func mapper(_ context.Context, config *rest.Config, _ string) error {
	client, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return err
	}
	if _, err := client.ServerVersion(); err != nil {
		return err
	}
	if _, lists, err := client.ServerGroupsAndResources(); err != nil || len(lists) < 5 {
		return fmt.Errorf("%d lists of kinds: %v", len(lists), err)
	}
	kept := memory.NewMemCacheClient(client)
	found := restmapper.NewShortcutExpander(restmapper.NewDeferredDiscoveryRESTMapper(kept), kept, nil)
	for name, kind := range map[string]string{"triggers": "Trigger", "rd": "Reed", "cm": "ConfigMap", "crd": "CustomResourceDefinition", "leases": "Lease"} {
		got, err := found.KindFor(schema.GroupVersionResource{Resource: name})
		if err != nil || got.Kind != kind {
			return fmt.Errorf("%s is %v: %v", name, got, err)
		}
	}
	mapping, err := found.RESTMapping(schema.GroupKind{Group: "eventing.knative.dev", Kind: "Broker"}, "v1")
	if err != nil || mapping.Resource.Resource != "brokers" || mapping.Scope.Name() != "namespace" {
		return fmt.Errorf("a Broker is at %v: %v", mapping, err)
	}
	return nil
}

// Of two candidates one leads; the other follows when it lets go.
func election(ctx context.Context, config *rest.Config, namespace string) error {
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	leads := make(chan string, 2)
	run := func(ctx context.Context, who string) {
		lock := &resourcelock.LeaseLock{
			LeaseMeta:  metav1.ObjectMeta{Name: "leader", Namespace: namespace},
			Client:     client.CoordinationV1(),
			LockConfig: resourcelock.ResourceLockConfig{Identity: who},
		}
		leaderelection.RunOrDie(ctx, leaderelection.LeaderElectionConfig{
			Lock: lock, LeaseDuration: 6 * time.Second, RenewDeadline: 4 * time.Second, RetryPeriod: 200 * time.Millisecond, ReleaseOnCancel: true,
			Callbacks: leaderelection.LeaderCallbacks{OnStartedLeading: func(context.Context) { leads <- who }, OnStoppedLeading: func() {}},
		})
	}
	first, letGo := context.WithCancel(ctx)
	defer letGo()
	second, end := context.WithCancel(ctx)
	defer end()
	go run(first, "a")
	if who := <-leads; who != "a" {
		return fmt.Errorf("%s leads", who)
	}
	go run(second, "b")
	select {
	case who := <-leads:
		return fmt.Errorf("%s leads too", who)
	case <-time.After(time.Second):
	}
	letGo()
	select {
	case <-leads:
		return nil
	case <-time.After(20 * time.Second):
		return fmt.Errorf("nobody leads")
	}
}

// Server-side apply: made, changed, a conflict with another manager, and force.
func apply(ctx context.Context, config *rest.Config, namespace string) error {
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return err
	}
	here := client.Resource(triggers).Namespace(namespace)
	stated := trigger("t")
	if _, err := here.Apply(ctx, "t", stated, metav1.ApplyOptions{FieldManager: "first"}); err != nil {
		return err
	}
	other := stated.DeepCopy()
	if err := unstructured.SetNestedField(other.Object, "http://127.0.0.1/other", "spec", "subscriber", "uri"); err != nil {
		return err
	}
	if _, err := here.Apply(ctx, "t", other, metav1.ApplyOptions{FieldManager: "second"}); !errors.IsConflict(err) {
		return fmt.Errorf("no conflict: %v", err)
	}
	forced, err := here.Apply(ctx, "t", other, metav1.ApplyOptions{FieldManager: "second", Force: true})
	if err != nil {
		return err
	}
	if uri, _, _ := unstructured.NestedString(forced.Object, "spec", "subscriber", "uri"); uri != "http://127.0.0.1/other" {
		return fmt.Errorf("the URI is %s", uri)
	}
	again, err := here.Apply(ctx, "t", other, metav1.ApplyOptions{FieldManager: "second"})
	if err != nil || again.GetResourceVersion() != forced.GetResourceVersion() {
		return fmt.Errorf("the same again is a change: %v", err)
	}
	return nil
}

// A watch gives the present state, a bookmark that says so, and goes on: what informers ask for instead of a list.
func watchList(ctx context.Context, config *rest.Config, namespace string) error {
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	maps := client.CoreV1().ConfigMaps(namespace)
	for i := range 3 {
		if _, err := maps.Create(ctx, configMap(fmt.Sprintf("c%d", i)), metav1.CreateOptions{}); err != nil {
			return err
		}
	}
	lists := 0
	from := &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
			lists++
			return maps.List(ctx, options)
		},
		WatchFuncWithContext: maps.Watch,
	}
	store := cache.NewStore(cache.MetaNamespaceKeyFunc)
	reflector := cache.NewReflector(from, &corev1.ConfigMap{}, store, 0)
	go reflector.Run(ctx.Done())
	if err := until(ctx, "all are there", func() bool { return len(store.List()) >= 3 && reflector.LastSyncResourceVersion() != "" }); err != nil {
		return err
	}
	made, err := maps.Create(ctx, configMap("late"), metav1.CreateOptions{})
	if err != nil {
		return err
	}
	if err := until(ctx, "the late one is seen", func() bool { return reflector.LastSyncResourceVersion() == made.ResourceVersion }); err != nil {
		return err
	}
	if lists > 0 {
		return fmt.Errorf("it had to list %d times", lists)
	}
	return nil
}

// A long list is read in parts that belong together.
func pages(ctx context.Context, config *rest.Config, namespace string) error {
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	maps := client.CoreV1().ConfigMaps(namespace)
	for i := range 25 {
		if _, err := maps.Create(ctx, configMap(fmt.Sprintf("c%02d", i)), metav1.CreateOptions{}); err != nil {
			return err
		}
	}
	requests := 0
	reader := pager.New(func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
		requests++
		return maps.List(ctx, options)
	})
	reader.PageSize = 10
	names := map[string]bool{}
	see := func(one runtime.Object) error { names[one.(*corev1.ConfigMap).Name] = true; return nil }
	if err := reader.EachListItem(ctx, metav1.ListOptions{}, see); err != nil {
		return err
	}
	if requests != 3 || len(names) < 25 {
		return fmt.Errorf("%d in %d requests", len(names), requests)
	}
	return maps.DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{})
}
