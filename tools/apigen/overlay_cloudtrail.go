package main

var auditTrail = service{
	Model: "cloudtrail", Package: "cloudtrail", Signing: "cloudtrail", ServedShapesOnly: true,
	Groups: []group{{Name: "Events", Doc: "the record of who did what",
		Served: `LookupEvents`,
		Refused: map[string]string{noTrails: `AddTags CancelQuery CreateChannel CreateDashboard CreateEventDataStore CreateTrail DeleteChannel DeleteDashboard
			DeleteEventDataStore DeleteResourcePolicy DeleteTrail DeregisterOrganizationDelegatedAdmin DescribeQuery DescribeTrails
			DisableFederation EnableFederation GenerateQuery GetChannel GetDashboard GetEventConfiguration GetEventDataStore GetEventSelectors
			GetImport GetInsightSelectors GetQueryResults GetResourcePolicy GetTrail GetTrailStatus ListChannels ListDashboards
			ListEventDataStores ListImportFailures ListImports ListInsightsData ListInsightsMetricData ListPublicKeys ListQueries ListTags
			ListTrails PutEventConfiguration PutEventSelectors PutInsightSelectors PutResourcePolicy RegisterOrganizationDelegatedAdmin
			RemoveTags RestoreEventDataStore SearchSampleQueries StartDashboardRefresh StartEventDataStoreIngestion StartImport StartLogging
			StartQuery StopEventDataStoreIngestion StopImport StopLogging UpdateChannel UpdateDashboard UpdateEventDataStore UpdateTrail`}}},
	RefusedValues: map[string]string{
		"LookupAttributeKey=ResourceType": "records name their resources by ARN; look for ResourceName",
		"EventCategory=insight":           "no insights are drawn from the records",
	},
	Requires: map[string][]string{"LookupEvents": {"cloudtrail:LookupEvents *"}},
}

const noTrails = "there are no trails here: every call is on record without one, and LookupEvents and outcrop audit read it"
