# Stands in for the plugins of VMware and Parallels, which are not packaged: it knows
# the options that the Vagrantfile may set, and refuses others as the plugins do. For
# the names see the plugins' documentation:
# https://developer.hashicorp.com/vagrant/docs/providers/vmware/configuration,
# https://parallels.github.io/vagrant-parallels/docs/configuration.html
module SlipwayStubs
  OPTIONS = {
    vmware_desktop: %i[vmx linked_clone],
    parallels: %i[cpus memory linked_clone],
  }.freeze

  # The configuration class of a provider with some options.
  def self.config(options)
    Class.new(Vagrant.plugin("2", :config)) do
      attr_accessor(*options)

      define_method(:initialize) { options.each { |name| instance_variable_set("@#{name}", name == :vmx ? {} : nil) } }
    end
  end

  def self.register
    OPTIONS.each do |name, options|
      provider = Class.new(Vagrant.plugin("2", :provider)) do
        define_singleton_method(:usable?) { |_raise = false| true }
        define_method(:state) { Vagrant::MachineState.new(:not_created, "not created", "") }
      end
      configuration = config(options)
      Class.new(Vagrant.plugin("2")) do
        self.name "stub of #{name}"
        provider(name) { provider }
        config(name, :provider) { configuration }
      end
    end
  end
end
