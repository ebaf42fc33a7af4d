package kube

import (
	"fmt"
	"slices"
)

// APIs returns what the cluster serves, sorted: "apps/v1" and "apps/v1/Deployment".
func (c *Client) APIs() ([]string, error) {
	_, lists, err := c.clientset.Discovery().ServerGroupsAndResources()
	// An aggregated API that does not answer does not hide the others.
	if len(lists) == 0 && err != nil {
		return nil, fmt.Errorf("list the APIs: %w", err)
	}
	var all []string
	for _, list := range lists {
		all = append(all, list.GroupVersion)
		for _, resource := range list.APIResources {
			all = append(all, list.GroupVersion+"/"+resource.Kind)
		}
	}
	slices.Sort(all)
	return slices.Compact(all), nil
}
