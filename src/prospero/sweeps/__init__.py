"""Many runs by one command: jobs in processes of their own, on slots of the machine, in a folder that is continued."""
