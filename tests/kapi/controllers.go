package main

import (
	"context"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/controller-manager/pkg/informerfactory"
	"k8s.io/kubernetes/pkg/controller/clusterroleaggregation"
	"k8s.io/kubernetes/pkg/controller/garbagecollector"
	"k8s.io/kubernetes/pkg/controller/namespace"
)

// startControllers runs the controllers that tests of owner references, of namespace deletion and of rights that are put
// together by label need.
func startControllers(ctx context.Context, server, token, ca string) {
	cfg := &rest.Config{Host: server, BearerToken: token, QPS: 500, Burst: 1000,
		TLSClientConfig: rest.TLSClientConfig{CAFile: ca}}
	client := kubernetes.NewForConfigOrDie(cfg)
	meta := metadata.NewForConfigOrDie(cfg)
	disc := client.Discovery()
	inf := informers.NewSharedInformerFactory(client, 0)
	minf := metadatainformer.NewSharedInformerFactory(meta, 0)
	started := make(chan struct{})

	gc, err := garbagecollector.NewGarbageCollector(ctx, client, meta,
		restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(disc)),
		garbagecollector.DefaultIgnoredResources(), informerfactory.NewInformerFactory(inf, minf), started)
	must(err)
	ns := namespace.NewNamespaceController(ctx, client, meta, disc.ServerPreferredNamespacedResources,
		inf.Core().V1().Namespaces(), 5*time.Minute, v1.FinalizerKubernetes)

	roles := clusterroleaggregation.NewClusterRoleAggregation(inf.Rbac().V1().ClusterRoles(), client.RbacV1())

	go gc.Run(ctx, 4, time.Second)
	go gc.Sync(ctx, disc, time.Second)
	go ns.Run(ctx, 4)
	go roles.Run(ctx, 1)
	inf.Start(ctx.Done())
	minf.Start(ctx.Done())
	close(started)
}
